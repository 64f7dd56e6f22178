# shellcheck shell=bash
# shows: VOL-001
# does: unsets the schedule of the critical instance svc-a and deletes its snapshot

snapshots() { incus_at "$1" snapshot list svc-a -f csv -c n; }

inject() {
  set_keys "$1" "config svc-a" snapshots.schedule=
  local each
  for each in $(snapshots "$1"); do incus_at "$1" snapshot delete svc-a "$each"; done
}

heal() {
  local each
  for each in $(snapshots "$1" | grep -vx first); do incus_at "$1" snapshot delete svc-a "$each"; done
  set_keys "$1" "config svc-a" snapshots.schedule=@daily snapshots.expiry=2w
  snapshots "$1" | grep -qx first || incus_at "$1" snapshot create svc-a first --no-expiry
}
