# shellcheck shell=bash
# shows: POOL-004
# does: takes one disk of the mirror hdd of the host offline
# labs: vm

inject() { on "$1" zpool offline hdd virtio-hdd-b; }

# A resilver is not a scrub: without a scrub the pool would count as not scrubbed.
heal() {
  on "$1" zpool online hdd virtio-hdd-b
  on "$1" zpool wait -t resilver hdd
  on "$1" zpool clear hdd
  on "$1" zpool scrub -w hdd
}
