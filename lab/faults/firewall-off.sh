# shellcheck shell=bash
# shows: HOST-004
# does: removes the host's own firewall; the rules of Incus stay

inject() { on "$1" sh -c '! nft list table inet host >/dev/null 2>&1 || nft delete table inet host'; }

heal() { filter_input "$1"; }
