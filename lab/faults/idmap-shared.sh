# shellcheck shell=bash
# shows: INST-007
# does: gives the host's container in project restricted the ID map that other containers share permanently: it empties the key that the profile sets

isolated() { incus_at "$1" config "$2" --project restricted "$(tenant_of "$1")" security.idmap.isolated"${3:-}"; }
base_of() { incus_at "$1" config get --project restricted "$(tenant_of "$1")" volatile.idmap.base; }

restart_tenant() {
  incus_at "$1" restart -f --project restricted "$(tenant_of "$1")"
  wait_for 20 "a lease for $(tenant_of "$1")" has_lease "$1" "$(tenant_of "$1")" restricted
}

inject() {
  [ "$(base_of "$1")" != 0 ] || return 0
  isolated "$1" set =false
  isolated "$1" set =
  restart_tenant "$1"
}

heal() {
  if [ "$(base_of "$1")" = 0 ]; then
    isolated "$1" set =false
    isolated "$1" unset
    restart_tenant "$1"
  elif [ -n "$(isolated "$1" get)" ]; then
    isolated "$1" unset
  fi
}
