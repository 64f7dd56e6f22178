# shellcheck shell=bash
# shows: INST-010
# does: turns off MAC address filtering for the host's container in project restricted

has_own() { incus_at "$1" config device list --project restricted "$(tenant_of "$1")" | grep -qx eth0; }

inject() { has_own "$1" || incus_at "$1" config device override --project restricted "$(tenant_of "$1")" eth0 security.mac_filtering=false; }

heal() {
  ! has_own "$1" || incus_at "$1" config device remove --project restricted "$(tenant_of "$1")" eth0
  wait_for 20 "a lease for $(tenant_of "$1")" has_lease "$1" "$(tenant_of "$1")" restricted
}
