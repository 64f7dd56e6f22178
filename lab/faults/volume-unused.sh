# shellcheck shell=bash
# shows: VOL-003
# does: makes a volume that nothing uses and dates it one month back in the database of Incus

exists() { incus_at "$1" storage volume list hdd -f csv -c n | grep -qx lost; }

inject() {
  exists "$1" || incus_at "$1" storage volume create hdd lost --target "$1"
  sql "$1" "UPDATE storage_volumes SET creation_date = datetime('now', '-30 days') WHERE name = 'lost'"
}
heal() { ! exists "$1" || incus_at "$1" storage volume delete hdd lost; }
