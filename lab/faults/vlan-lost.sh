# shellcheck shell=bash
# shows: NET-008, NET-001
# does: attaches incus0 of the host by hand, not in the configuration of Incus, and reboots the host: the port is gone
# labs: vm

named() { incus_at "$1" network get --target "$1" incusbr0 bridge.external_interfaces; }

inject() {
  [ -n "$(named "$1")" ] || return 0
  incus_at "$1" network unset --target "$1" incusbr0 bridge.external_interfaces
  move_port "$1" incus0 incusbr0   # unsetting the key detached it
  reboot_host "$1"
  [ -z "$(master_of "$1" incus0)" ]
}

heal() { [ -n "$(named "$1")" ] || incus_at "$1" network set --target "$1" incusbr0 bridge.external_interfaces=incus0; }
