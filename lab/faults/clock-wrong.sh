# shellcheck shell=bash
# shows: HOST-007
# does: makes the clock of the host follow a source that is 8 seconds behind
# labs: vm

DROPIN=/etc/systemd/system/lab-clock.service.d/offset.conf

# Behind, not ahead: with a clock that is ahead, the members report each other Offline.
inject() {
  on "$1" sh -c "mkdir -p ${DROPIN%/*}; printf '[Service]\nEnvironment=LAB_CLOCK_OFFSET_S=-8\n' >$DROPIN
    systemctl daemon-reload; systemctl restart lab-clock chrony"
  wait_for 30 "a slow clock on $1" is_behind "$1"
  wait_for 30 "a synchronized clock on $1" clock_is_kept "$1"
  wait_for 30 "the warning of Incus" told_of_skew "$1"
}

told_of_skew() { incus_at "$1" warning list -f csv -c t | grep -q 'Time skew'; }

is_behind() { [ $(($(date +%s) - $(on "$1" date +%s </dev/null))) -gt 4 ]; }

heal() {
  on "$1" sh -c "rm -rf ${DROPIN%/*}; systemctl daemon-reload; systemctl restart lab-clock chrony"
  is_well_again "$1"
}
