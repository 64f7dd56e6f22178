# shellcheck shell=bash
# shows: VOL-004
# does: unsets the size of the volume alice-home of the project user-alice

size() { incus_at "$1" storage volume get hdd alice-home size --project user-alice; }

inject() { [ -z "$(size "$1")" ] || incus_at "$1" storage volume unset hdd alice-home size --project user-alice; }
heal() { [ "$(size "$1")" = 10MiB ] || incus_at "$1" storage volume set hdd alice-home size=10MiB --project user-alice; }
