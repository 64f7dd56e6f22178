# shellcheck shell=bash
# shows: AUTH-001
# does: lets the API of the host listen on any address

inject() { set_keys "$1" config core.https_address=:8443; }
heal() {
  set_keys "$1" config "core.https_address=${LISTEN[$1]}"
  # The daemon closed the cluster's own listener while the other one covered it, and opens it at its start alone.
  [ -z "$(on "$1" ss -Hltn "src $(member_address "$1")" </dev/null)" ] || return 0
  on "$1" systemctl restart incus.service </dev/null
  wait_ready "$1"
}
