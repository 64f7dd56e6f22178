# shellcheck shell=bash
# shows: PROJ-006, PROJ-002
# does: lets the project user-bob use the volumes of project default, and attaches data, which capped uses, to its profile

has_data() { incus_at "$1" profile device list default --project user-bob | grep -qx data; }

inject() {
  set_keys "$1" "project user-bob" features.storage.volumes=
  has_data "$1" || incus_at "$1" profile device add default data disk pool=nvme source=data path=/srv --project user-bob
}

heal() {
  ! has_data "$1" || incus_at "$1" profile device remove default data --project user-bob
  set_keys "$1" "project user-bob" features.storage.volumes=true
}
