# shellcheck shell=bash
# shows: ACL-007, HOST-004
# does: empties the firewall of the host, as a restart of nftables.service does: the rules of Incus go with it

inject() { on "$1" nft flush ruleset; }

# A change of a network makes all of its rules anew, on every member; its value means nothing.
heal() {
  local bridge
  for bridge in sigsrvbr0 incusbr0 userbr0; do
    on "$1" nft list chain inet incus "acl.$bridge" >/dev/null 2>&1 && continue
    incus_at "$1" network set "$bridge" user.touched=yes
    incus_at "$1" network unset "$bridge" user.touched
  done
  on "$1" nft list table inet host >/dev/null 2>&1 || filter_input "$1"
}
