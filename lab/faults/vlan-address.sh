# shellcheck shell=bash
# shows: NET-003
# does: adds an address to incus0 of the host; Incus would refuse it as a port at its next start

LEAKED=198.51.100.7/24

has_address() { on "$1" ip -o addr show dev incus0 | grep -qF " $LEAKED "; }
inject() { has_address "$1" || on "$1" ip addr add "$LEAKED" dev incus0; }
heal() { ! has_address "$1" || on "$1" ip addr del "$LEAKED" dev incus0; }
