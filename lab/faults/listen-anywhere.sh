# shellcheck shell=bash
# shows: AUTH-001
# does: makes the API of the host listen on every address

inject() { set_keys "$1" config core.https_address=:8443; }
heal() {
  set_keys "$1" config "core.https_address=${LISTEN[$1]}"
  # While it listened on every address, the daemon closed the separate listener of the cluster. Only a restart opens that one again.
  [ -z "$(on "$1" ss -Hltn "src $(member_address "$1")" </dev/null)" ] || return 0
  on "$1" systemctl restart incus.service </dev/null
  wait_ready "$1"
}
