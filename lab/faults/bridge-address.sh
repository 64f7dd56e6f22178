# shellcheck shell=bash
# shows: NET-007
# does: removes the address of userbr0 on the host; Incus does not report it

holds() { on "$1" ip -o addr show dev userbr0 | grep -qF ' 172.24.0.1/16 '; }

inject() { ! holds "$1" || on "$1" ip addr del 172.24.0.1/16 dev userbr0; }
heal() { holds "$1" || on "$1" ip addr add 172.24.0.1/16 dev userbr0; }
