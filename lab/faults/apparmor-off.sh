# shellcheck shell=bash
# shows: HOST-008
# does: starts the host's kernel with AppArmor off
# labs: vm

is_off() { on "$1" grep -qx N /sys/module/apparmor/parameters/enabled; }

inject() {
  is_off "$1" || EXTRA_BOOT="apparmor=0" restart_machine "$1"
  is_off "$1"
}

heal() { ! is_off "$1" || restart_machine "$1"; }
