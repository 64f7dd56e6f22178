# shellcheck shell=bash
# shows: VOL-001
# does: unsets schedule and expiry of the protected volume data and deletes its snapshot

snapshots() { incus_at "$1" storage volume snapshot list nvme data -f csv -c n; }
keys() { # HOST SCHEDULE EXPIRY
  incus_at "$1" storage volume set nvme data "snapshots.schedule=$2" "snapshots.expiry=$3"
}

inject() {
  local each
  keys "$1" "" ""
  for each in $(snapshots "$1"); do incus_at "$1" storage volume snapshot delete nvme data "$each"; done
}

heal() {
  local each
  for each in $(snapshots "$1" | grep -vx first); do incus_at "$1" storage volume snapshot delete nvme data "$each"; done
  keys "$1" @daily 2w
  snapshots "$1" | grep -qx first || incus_at "$1" storage volume snapshot create nvme data first --no-expiry
}
