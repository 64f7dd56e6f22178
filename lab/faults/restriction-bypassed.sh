# shellcheck shell=bash
# shows: PROJ-007
# does: sets a key on alice1 that its project forbids, by turning the restriction of the project off for a moment

inject() {
  local project=user-alice instance=alice1
  [ -z "$(incus_at "$1" config get "$instance" boot.host_shutdown_timeout --project "$project")" ] || return 0
  incus_at "$1" project set "$project" restricted=false
  incus_at "$1" config set "$instance" boot.host_shutdown_timeout=20 --project "$project"
  incus_at "$1" project set "$project" restricted=true
}

heal() {
  set_keys "$1" "project user-alice" restricted=true
  [ -z "$(incus_at "$1" config get alice1 boot.host_shutdown_timeout --project user-alice)" ] ||
    incus_at "$1" config unset alice1 boot.host_shutdown_timeout --project user-alice
}
