# shellcheck shell=bash
# shows: HOST-002
# does: makes the start of incus.service fail on the host, as after a bad update; the containers keep running
# labs: vm

DROPIN=/etc/systemd/system/incus.service.d/broken.conf

inject() {
  on "$1" sh -c "mkdir -p ${DROPIN%/*}; printf '[Service]\nExecStartPre=/bin/false\nRestart=no\n' >$DROPIN; systemctl daemon-reload
    systemctl stop --job-mode=ignore-dependencies incus.socket; systemctl restart --job-mode=ignore-dependencies incus.service || true"
  on "$1" systemctl --quiet is-failed incus.service
  [ "$1" = sigsrv ] || wait_for 60 "$1 Offline on sigsrv" member_is sigsrv "$1" OFFLINE
}

heal() {
  on "$1" sh -c "rm -rf ${DROPIN%/*}; systemctl daemon-reload; systemctl reset-failed incus.service incus.socket 2>/dev/null
    systemctl start incus.socket incus.service"
  is_well_again "$1"
}
