# shellcheck shell=bash
# shows: ACL-003
# does: lets sigsrvbr0 allow whatever no rule of its ACL speaks of, in both directions

inject() {
  set_keys "$1" "network sigsrvbr0" security.acls.default.ingress.action=allow security.acls.default.egress.action=allow
}

heal() {
  set_keys "$1" "network sigsrvbr0" security.acls.default.ingress.action= security.acls.default.egress.action=
}
