# shellcheck shell=bash
# shows: ACL-005
# does: adds a rule to the ACL mgmt-base that rejects all traffic to the system services that another rule of it allows

RULE=(action=reject state=enabled destination=172.16.0.0/12)

has_rule() { incus_at "$1" network acl show mgmt-base | grep -q '172.16.0.0/12'; }

inject() { has_rule "$1" || incus_at "$1" network acl rule add mgmt-base egress "${RULE[@]}"; }
heal() { ! has_rule "$1" || incus_at "$1" network acl rule remove mgmt-base egress "${RULE[@]}"; }
