# shellcheck shell=bash
# shows: POOL-003
# does: fills the pool iso of the host, 512 MiB, to more than 90 %
# labs: vm

inject() {
  on "$1" sh -c 'zfs list iso/ballast >/dev/null 2>&1 || {
    zfs create -o mountpoint=/var/lib/incus/ballast -o compression=off iso/ballast
    head -c 440M /dev/zero >/var/lib/incus/ballast/file 2>/dev/null || true
    zpool sync iso; }'
}

heal() { on "$1" sh -c '! zfs list iso/ballast >/dev/null 2>&1 || zfs destroy iso/ballast; zpool sync iso; zpool wait -t free iso'; }
