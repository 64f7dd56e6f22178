# shellcheck shell=bash
# shows: ACL-003
# does: sets the default of sigsrvbr0 to allow, in both directions, for traffic that no rule of its ACL matches

inject() {
  set_keys "$1" "network sigsrvbr0" security.acls.default.ingress.action=allow security.acls.default.egress.action=allow
}

heal() {
  set_keys "$1" "network sigsrvbr0" security.acls.default.ingress.action= security.acls.default.egress.action=
}
