# shellcheck shell=bash
# shows: ACL-004
# does: adds a rule to the ACL mgmt-base that allows all sources, written as two halves of all addresses

RULE=(action=allow state=enabled "source=0.0.0.0/1,128.0.0.0/1")

has_rule() { incus_at "$1" network acl show mgmt-base | grep -q '0.0.0.0/1,128.0.0.0/1'; }

inject() { has_rule "$1" || incus_at "$1" network acl rule add mgmt-base ingress "${RULE[@]}"; }
heal() { ! has_rule "$1" || incus_at "$1" network acl rule remove mgmt-base ingress "${RULE[@]}"; }
