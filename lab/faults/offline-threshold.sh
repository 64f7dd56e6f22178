# shellcheck shell=bash
# shows: CLUS-003
# does: lets 40 seconds pass until a silent member counts as offline

inject() { set_keys "$1" config cluster.offline_threshold=40; }

# The old pace, every 20 s, goes on for two more heartbeats: members are Offline in between.
heal() {
  [ -n "$(incus_at "$1" config get cluster.offline_threshold)" ] || return 0
  set_keys "$1" config cluster.offline_threshold=
  sleep 40
  wait_for 30 "both members Online on $1" sees_all_online "$1"
}
