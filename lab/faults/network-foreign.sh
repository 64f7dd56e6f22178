# shellcheck shell=bash
# shows: NET-004
# does: makes a managed network that the site file does not have; in a cluster it is on both hosts

exists() { incus_at "$1" network list -f csv | grep -q '^foreign0,bridge,YES,'; }

inject() {
  local host
  ! exists "$1" || return 0
  for host in "${HOSTS[@]}"; do incus_at "$1" network create foreign0 --type=bridge --target "$host"; done
  incus_at "$1" network create foreign0 --type=bridge ipv4.address=none ipv6.address=none
}

heal() { ! exists "$1" || incus_at "$1" network delete foreign0; }
