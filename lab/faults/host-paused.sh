# shellcheck shell=bash
# shows: HOST-001
# does: pauses the whole virtual machine; for minisrv it waits until sigsrv reports it Offline
# labs: vm

# sigsrv has the only vote in the database. Without sigsrv, minisrv cannot determine who is Online, so there is nothing to wait for.
inject() {
  qmp "$1" stop >/dev/null
  [ "$1" = sigsrv ] || wait_for 60 "$1 Offline on sigsrv" member_is sigsrv "$1" OFFLINE
}

heal() {
  [ "$(machine_state "$1")" != paused ] || qmp "$1" cont >/dev/null
  is_well_again "$1"
  forget_log "$(other_host "$1")"
}
