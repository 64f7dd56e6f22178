# shellcheck shell=bash
# shows: HOST-006
# does: fills the root file system of the host, except for a small rest that its daemons need
# labs: vm

inject() {
  # shellcheck disable=SC2016 # expanded on the host
  on "$1" sh -c '[ -e /var/ballast ] || fallocate -l "$(($(df --output=avail -B1 / | tail -1) - 100 * 1024 * 1024))" /var/ballast'
}
heal() { on "$1" rm -f /var/ballast; }
