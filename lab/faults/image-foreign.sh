# shellcheck shell=bash
# shows: IMG-002
# does: imports an image that nobody knows: it has no source

FOREIGN=foreign   # its alias, which it gets when it is on both members

# The same file each time, and so the same fingerprint: no date, no owner, no order of the machine's.
inject() {
  ! has_alias "$1" || return 0
  on "$1" sh -c 'set -e
    mkdir -p /run/foreign/rootfs
    cd /run/foreign
    echo "{architecture: x86_64, creation_date: 1700000000, properties: {description: of nobody}}" >metadata.yaml
    chmod 755 rootfs
    chmod 644 metadata.yaml
    tar --format=ustar --sort=name --mtime=@0 --owner=0 --group=0 --numeric-owner -cf image.tar metadata.yaml rootfs'
  wait_for 20 "the image on both members" import_image "$1"
  on "$1" rm -r /run/foreign
}

# A member that is busy refuses the image ("Server isn't ready yet"); the other one keeps it all the same, without the alias.
import_image() {
  heal "$1"
  incus_at "$1" image import /run/foreign/image.tar --alias "$FOREIGN"
}

heal() {
  local fingerprint
  for fingerprint in $(images_of_nobody "$1"); do incus_at "$1" image delete "$fingerprint"; done
}

images_of_nobody() { incus_at "$1" image list -f csv -c Fd | sed -n 's/,of nobody$//p'; }
has_alias() { incus_at "$1" image alias list -f csv | grep -q "^$FOREIGN,"; }
