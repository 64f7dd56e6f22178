# shellcheck shell=bash
# shows: IMG-002
# does: imports an image of unknown origin: it has no source

FOREIGN=foreign   # its alias; it gets the alias once it is on both members

# Makes the same file each time, so the fingerprint is always the same: date, owner and order do not depend on the machine.
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

# A busy member refuses the image ("Server isn't ready yet"). The other member still keeps it, without the alias, so delete it first.
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
