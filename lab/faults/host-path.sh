# shellcheck shell=bash
# shows: INST-004
# does: mounts the host's /etc into its service container, at /mnt/etc

has_device() { incus_at "$1" config device list "$2" | grep -qx hostetc; }

inject() {
  local instance
  instance=$(service_of "$1")
  has_device "$1" "$instance" || incus_at "$1" config device add "$instance" hostetc disk source=/etc path=/mnt/etc
}

heal() {
  local instance
  instance=$(service_of "$1")
  ! has_device "$1" "$instance" || incus_at "$1" config device remove "$instance" hostetc
}
