# shellcheck shell=bash
# shows: CLUS-004, CLUS-001
# does: evacuates the host: its instances stop on the host, and its bridges are gone

inject() {
  member_is "$1" "$1" EVACUATED || incus_at "$1" cluster evacuate "$1" --action=stop --force
  member_is "$1" "$1" EVACUATED
}

heal() {
  ! member_is "$1" "$1" EVACUATED || incus_at "$1" cluster restore "$1" --force
  wait_for 20 "the leases of the containers" all_have_leases_at "$1"
  forget_warnings "$1"
}
