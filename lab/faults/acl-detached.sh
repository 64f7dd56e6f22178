# shellcheck shell=bash
# shows: ACL-001
# does: takes the ACL user-isolate off userbr0: nothing filters the users' traffic

inject() { set_keys "$1" "network userbr0" security.acls=; }
heal() { set_keys "$1" "network userbr0" security.acls=user-isolate; }
