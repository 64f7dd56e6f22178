# shellcheck shell=bash
# shows: NET-008
# does: attaches incus0 of the host by hand and removes it from bridge.external_interfaces of this member

named() { incus_at "$1" network get --target "$1" incusbr0 bridge.external_interfaces; }

inject() {
  [ -z "$(named "$1")" ] || incus_at "$1" network unset --target "$1" incusbr0 bridge.external_interfaces
  move_port "$1" incus0 incusbr0   # unsetting the key detached it
}

heal() {
  [ -n "$(named "$1")" ] || incus_at "$1" network set --target "$1" incusbr0 bridge.external_interfaces=incus0
}
