# shellcheck shell=bash
# shows: CLUS-003
# does: sets the offline threshold to 40 seconds: a silent member counts as offline only after that time

inject() { set_keys "$1" config cluster.offline_threshold=40; }

# Heartbeats keep the old interval of 20 s for two more rounds. Members are Offline in between, so wait.
heal() {
  [ -n "$(incus_at "$1" config get cluster.offline_threshold)" ] || return 0
  set_keys "$1" config cluster.offline_threshold=
  sleep 40
  wait_for 30 "both members Online on $1" sees_all_online "$1"
}
