# shellcheck shell=bash
# shows: PROJ-009
# does: gives the host's stopped container a profile with a NIC on the link of a bridge, past the network of Incus with its ACLs

exists() { incus_at "$1" profile list -f csv -c n | grep -qx past-incus; }
has_profile() { incus_at "$1" query "/1.0/instances/$(stopped_of "$1")" | grep -q '"past-incus"'; }

inject() {
  exists "$1" || incus_at "$1" profile create past-incus
  incus_at "$1" profile device list past-incus | grep -qx eth1 ||
    incus_at "$1" profile device add past-incus eth1 nic nictype=macvlan parent=sigsrvbr0
  has_profile "$1" || incus_at "$1" profile add "$(stopped_of "$1")" past-incus
}
heal() {
  ! has_profile "$1" || incus_at "$1" profile remove "$(stopped_of "$1")" past-incus
  ! exists "$1" || incus_at "$1" profile delete past-incus
}
