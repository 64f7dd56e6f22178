# shellcheck shell=bash
# shows: INST-003
# does: removes AppArmor confinement from the host's service container at its next start, by a line of raw.lxc

inject() { set_keys "$1" "config $(service_of "$1")" raw.lxc=lxc.apparmor.profile=unconfined; }
heal() { set_keys "$1" "config $(service_of "$1")" raw.lxc=; }
