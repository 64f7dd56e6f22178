# shellcheck shell=bash
# shows: POOL-004
# does: lets one disk of the mirror hdd of the host read back other bytes than were written, and scrubs: repaired, and counted
# labs: vm

inject() {
  on "$1" zinject -d virtio-hdd-b -e corrupt -T read -f 20 hdd >/dev/null
  on "$1" zpool scrub -w hdd
  on "$1" zinject -c all >/dev/null
}

heal() {
  on "$1" zinject -c all >/dev/null
  on "$1" zpool clear hdd
  on "$1" zpool scrub -w hdd
}
