# shellcheck shell=bash
# shows: ACL-002
# does: disables all rules of the ACL mgmt-base; the ACL stays attached

set_rules() { # HOST FROM TO
  local now
  now=$(incus_at "$1" network acl show mgmt-base)
  case $now in *"state: $2"*) on "$1" incus -q network acl edit mgmt-base <<<"${now//state: $2/state: $3}" ;; esac
}

inject() { set_rules "$1" enabled disabled; }
heal() { set_rules "$1" disabled enabled; }
