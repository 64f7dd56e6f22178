# shellcheck shell=bash
# shows: HOST-009
# does: makes sshd of the host accept passwords, also for root

CONFIG=/etc/ssh/sshd_config.d/50-lab.conf

inject() {
  on "$1" sh -c "printf '%s\n' 'PasswordAuthentication yes' 'PermitRootLogin yes' >$CONFIG"
  reload_sshd "$1"
}

heal() {
  on "$1" rm -f "$CONFIG"
  reload_sshd "$1"
}
