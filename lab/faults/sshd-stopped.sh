# shellcheck shell=bash
# shows: HOST-001
# does: kills the listening sshd of the host; open sessions stay

inject() {
  stop_sshd "$1"
  wait_for 10 "the end of sshd of $1" is_gone "$1"
}

is_gone() { ! sshd_runs "$1"; }
heal() { start_sshd "$1"; }
