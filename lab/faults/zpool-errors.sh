# shellcheck shell=bash
# shows: POOL-004
# does: overwrites blocks of a file on the only disk of the pool iso of the host: a permanent error, and the pool is ONLINE
# labs: vm

# Block offsets count from the end of the front labels, 4 MiB after the start of the partition. Source: zdb(8).
inject() {
  # shellcheck disable=SC2016 # expanded on the host
  on "$1" sh -c 'zfs list iso/damaged >/dev/null 2>&1 || {
    zfs create -o mountpoint=/var/lib/incus/damaged -o compression=off iso/damaged
    head -c 1M /dev/urandom >/var/lib/incus/damaged/file
    zpool sync iso
    at=$(zdb -ddddd iso/damaged "$(stat -c %i /var/lib/incus/damaged/file)" | sed -n "s/.* L0 [0-9]*:\\([0-9a-f]*\\):.*/\\1/p" | head -n 1)
    dd if=/dev/zero of=/dev/disk/by-id/virtio-iso-part1 bs=512 seek=$((0x$at / 512 + 8192)) count=64 conv=notrunc,fsync status=none; }'
  on "$1" zpool scrub -w iso
  on "$1" zpool status iso | grep -q '^errors: 1 data error'
}

# ZFS keeps the list of damaged files for one more scrub, so scrub twice.
heal() {
  on "$1" sh -c '! zfs list iso/damaged >/dev/null 2>&1 || zfs destroy iso/damaged
    zpool clear iso; zpool scrub -w iso; zpool scrub -w iso'
}
