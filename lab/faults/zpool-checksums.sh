# shellcheck shell=bash
# shows: POOL-004
# does: overwrites a part of one disk of the mirror hdd of the host, and scrubs: ZFS repairs and counts all errors
# labs: vm

# ZFS labels are at both ends of the disk: leave these alone. The area near the start of the disk contains data.
inject() {
  on "$1" dd if=/dev/zero of=/dev/disk/by-id/virtio-hdd-b-part1 bs=1M seek=8 count=256 conv=notrunc,fsync status=none
  on "$1" zpool scrub -w hdd
}

heal() {
  on "$1" zpool clear hdd
  on "$1" zpool scrub -w hdd
}
