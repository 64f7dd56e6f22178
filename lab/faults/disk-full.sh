# shellcheck shell=bash
# shows: HOST-006
# does: mounts a file system of 8 MiB on the host and fills it

inject() {
  # shellcheck disable=SC2016 # expanded on the host
  on "$1" sh -c 'mountpoint -q /home/full || {
    truncate -s 8M /home/full.img && mkfs.ext4 -q -F -m 0 -O ^orphan_file,^metadata_csum_seed /home/full.img && mkdir -p /home/full && mount -o loop /home/full.img /home/full; }
    [ -e /home/full/ballast ] || cat /dev/zero >/home/full/ballast 2>/dev/null || true'
}

heal() { on "$1" sh -c '! mountpoint -q /home/full || umount /home/full; rm -rf /home/full /home/full.img'; }
