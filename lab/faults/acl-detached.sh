# shellcheck shell=bash
# shows: ACL-001
# does: detaches the ACL user-isolate from userbr0: nothing filters the traffic of users

inject() { set_keys "$1" "network userbr0" security.acls=; }
heal() { set_keys "$1" "network userbr0" security.acls=user-isolate; }
