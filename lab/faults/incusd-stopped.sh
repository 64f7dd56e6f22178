# shellcheck shell=bash
# shows: HOST-002, CLUS-001
# does: kills incusd of the host; its containers keep running. For minisrv it waits until sigsrv reports it Offline (20 s)

# sigsrv has the only vote in the database. Without sigsrv, minisrv cannot determine who is Online, so there is nothing to wait for.
inject() {
  stop_incusd "$1"
  wait_for 10 "the end of incusd of $1" is_gone "$1"
  [ "$1" = sigsrv ] || wait_for 60 "$1 Offline on sigsrv" member_is sigsrv "$1" OFFLINE
}

is_gone() { ! incusd_runs "$1"; }

heal() {
  local host
  start_incusd "$1"
  wait_ready "$1"
  for host in "${HOSTS[@]}"; do wait_for 90 "both members Online on $host" sees_all_online "$host"; done
  wait_for 20 "the leases of the containers" all_have_leases_at "$1"
  forget_warnings "$1"
}
