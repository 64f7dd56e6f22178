# shellcheck shell=bash
# shows: POOL-004
# does: damages a file in the pool iso of the host, which has no second copy: permanent errors, and the pool is ONLINE
# labs: vm

inject() {
  on "$1" sh -c 'zfs list iso/damaged >/dev/null 2>&1 || {
    zfs create -o mountpoint=/mnt/damaged -o compression=off iso/damaged
    head -c 1M /dev/urandom >/mnt/damaged/file
    zpool sync iso
    zinject -q -t data -e checksum -a /mnt/damaged/file >/dev/null
    ! cat /mnt/damaged/file >/dev/null 2>&1
    zinject -c all >/dev/null; }'
}

# The list of damaged files is kept for one scrub more.
heal() {
  on "$1" sh -c 'zinject -c all >/dev/null; ! zfs list iso/damaged >/dev/null 2>&1 || zfs destroy iso/damaged
    zpool clear iso; zpool scrub -w iso; zpool scrub -w iso'
}
