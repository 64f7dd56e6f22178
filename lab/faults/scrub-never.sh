# shellcheck shell=bash
# shows: POOL-005
# does: recreates the pool iso of the host and its contents while the clock is set back by 40 days; it was never scrubbed
# labs: vm

# shellcheck disable=SC2016 # expanded on the host
inject() {
  forty_days_ago "$1" '
    work=$(mktemp -d /run/XXXXXX)
    zfs snapshot -r iso@moved
    zfs send -R iso@moved >"$work/stream"
    zpool destroy -f iso
    until zpool create -f -m none iso /dev/disk/by-id/virtio-iso; do # it rewrites the partitions, and udev removes their links for a moment
      [ "$((tries += 1))" -lt 5 ] || exit 1
      udevadm settle
    done
    zfs receive -F -u iso <"$work/stream"
    zfs destroy -r iso@moved
    rm -r "$work"'
}

heal() { on "$1" zpool scrub -w iso; }
