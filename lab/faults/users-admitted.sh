# shellcheck shell=bash
# shows: ACL-006
# does: removes the rule that isolates users from each other; the default for egress then allows the traffic

RULE=(action=reject state=enabled "destination=172.24.0.0/16,fe80::/10")

has_rule() { incus_at "$1" network acl show user-isolate | grep -qF '172.24.0.0/16,fe80::/10'; }

inject() { ! has_rule "$1" || incus_at "$1" network acl rule remove user-isolate egress "${RULE[@]}"; }
heal() { has_rule "$1" || incus_at "$1" network acl rule add user-isolate egress "${RULE[@]}"; }
