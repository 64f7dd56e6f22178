# shellcheck shell=bash
# shows: IMG-002
# does: imports an image of unknown origin: it has no source

FOREIGN=foreign   # its alias; it gets the alias once it is on both members

# The same file each time, so the fingerprint is always the same: two versions of tar make two files of the same content.
# A compressed tar archive of metadata.yaml (creation_date: 1700000000, description: of nobody) and of an empty folder rootfs.
ARCHIVE="
H4sIAAAAAAACA+3T4QqCMBAA4P3uKfYAUi63Gb6MrDlpkE5uJyTiuzeFKIr+ZSDs+3PHMTiO3TUGVaVQ7QfVXMk60kByvsTgPaYs
e+ZLnTHJM0JT8ge9RwWh/S+GfB1uI0YF+mLRaOzBFPR2kqXkCdVgFFrXlmE3Qpnlj89JaAeuM4DW+IKOlfEabDc/LairaevOrhqm
aUeiTQDnsPaHVXvMe5ML8fX+P3KWiiMjVMT7j6IoWs0dUEu91gAKAAA=
"

inject() {
  ! has_alias "$1" || return 0
  base64 -d <<<"$ARCHIVE" | on "$1" sh -c 'mkdir -p /run/foreign; cat >/run/foreign/image.tar.gz'
  wait_for 20 "the image on both members" import_image "$1"
  on "$1" rm -r /run/foreign
}

# A busy member refuses the image ("Server isn't ready yet"). The other member still keeps it, without the alias, so delete it first.
import_image() {
  heal "$1"
  incus_at "$1" image import /run/foreign/image.tar.gz --alias "$FOREIGN"
}

heal() {
  local fingerprint
  for fingerprint in $(images_of_nobody "$1"); do incus_at "$1" image delete "$fingerprint"; done
}

images_of_nobody() { incus_at "$1" image list -f csv -c Fd | sed -n 's/,of nobody$//p'; }
has_alias() { incus_at "$1" image alias list -f csv | grep -q "^$FOREIGN,"; }
