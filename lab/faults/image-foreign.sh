# shellcheck shell=bash
# shows: IMG-002
# does: imports an image that nobody knows: it has no source

FOREIGN=foreign   # its alias

# The same file each time, and so the same fingerprint: no date, no owner, no order of the machine's.
inject() {
  ! has_image "$1" || return 0
  on "$1" sh -c 'set -e
    mkdir -p /run/foreign/rootfs
    cd /run/foreign
    echo "{architecture: x86_64, creation_date: 1700000000, properties: {description: of nobody}}" >metadata.yaml
    chmod 755 rootfs
    chmod 644 metadata.yaml
    tar --format=ustar --sort=name --mtime=@0 --owner=0 --group=0 --numeric-owner -cf image.tar metadata.yaml rootfs'
  incus_at "$1" image import /run/foreign/image.tar --alias "$FOREIGN"
  on "$1" rm -r /run/foreign
}

heal() { ! has_image "$1" || incus_at "$1" image delete "$FOREIGN"; }

has_image() { incus_at "$1" image alias list -f csv | grep -q "^$FOREIGN,"; }
