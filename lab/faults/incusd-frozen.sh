# shellcheck shell=bash
# shows: HOST-002
# does: freezes incusd of the host (SIGSTOP): its socket accepts connections and never answers

# Does not wait until minisrv is Offline: sigsrv still sends requests to it and waits for answers. That is part of this fault.
inject() {
  on "$1" kill -STOP "$(incusd_pid "$1")"
  wait_for 10 "the stop of incusd of $1" is_frozen "$1"
}

# The threads stop one by one, a moment after the signal.
is_frozen() {
  # shellcheck disable=SC2016 # expanded on the host
  on "$1" sh -c '! grep -h "^State:" /proc/"$1"/task/*/status | grep -qv "T (stopped)"' sh "$(incusd_pid "$1")"
}

heal() {
  local host
  on "$1" kill -CONT "$(incusd_pid "$1")"
  wait_ready "$1"
  for host in "${HOSTS[@]}"; do wait_for 90 "both members Online on $host" sees_all_online "$host"; done
  forget_warnings "$1"
}
