# shellcheck shell=bash
# shows: INST-007
# does: runs the host's container in project restricted with the ID map that other containers share; its configuration isolates it from its next start on

TENANT="config --project restricted"
map_of() { incus_at "$1" config get --project restricted "$(tenant_of "$1")" "volatile.idmap.$2"; }

restart_tenant() {
  [ "$(map_of "$1" current)" != "$(map_of "$1" next)" ] || return 0
  incus_at "$1" restart -f --project restricted "$(tenant_of "$1")"
  wait_for 20 "a lease for $(tenant_of "$1")" has_lease "$1" "$(tenant_of "$1")" restricted
}

inject() {
  [ "$(map_of "$1" current)" = "$(map_of "$1" next)" ] || return 0
  set_keys "$1" "$TENANT $(tenant_of "$1")" security.idmap.isolated=false
  restart_tenant "$1"
  set_keys "$1" "$TENANT $(tenant_of "$1")" security.idmap.isolated=
}

heal() {
  set_keys "$1" "$TENANT $(tenant_of "$1")" security.idmap.isolated=
  restart_tenant "$1"
}
