# shellcheck shell=bash
# shows: CLUS-003
# does: lets two minutes pass until a silent member counts as offline

inject() { set_keys "$1" config cluster.offline_threshold=120; }

# Members are Offline until they are heard of at the new pace, every 10 s.
heal() {
  [ -n "$(incus_at "$1" config get cluster.offline_threshold)" ] || return 0
  set_keys "$1" config cluster.offline_threshold=
  sleep 13
  wait_for 30 "both members Online on $1" sees_all_online "$1"
}
