# shellcheck shell=bash
# shows: CLUS-004
# does: keeps new instances off the host (scheduler.instance=manual)

inject() { incus_at "$1" cluster set "$1" scheduler.instance=manual; }
heal() { [ -z "$(incus_at "$1" cluster get "$1" scheduler.instance)" ] || incus_at "$1" cluster unset "$1" scheduler.instance; }
