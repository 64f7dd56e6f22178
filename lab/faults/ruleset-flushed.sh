# shellcheck shell=bash
# shows: ACL-007, HOST-004
# does: flushes the firewall of the host, as a restart of nftables.service does: the rules of Incus are gone too

inject() { on "$1" nft flush ruleset; }

# A change of a network makes Incus write all its rules again, on every member. A change of a user.* key does not.
heal() {
  local bridge
  for bridge in sigsrvbr0 incusbr0 userbr0; do
    ! has_rules "$1" "$bridge" || continue
    incus_at "$1" network set "$bridge" dns.domain=touched
    incus_at "$1" network unset "$bridge" dns.domain
    wait_for 5 "the rules of $bridge" has_rules "$1" "$bridge"
  done
  on "$1" nft list table inet host >/dev/null 2>&1 || filter_input "$1"
}

has_rules() { on "$1" nft list chain inet incus "acl.$2" >/dev/null 2>&1; }
