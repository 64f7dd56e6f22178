# shellcheck shell=bash
# shows: NET-007
# does: lets user0 of the host carry frames of 1400 bytes only: pings pass, large frames do not

inject() { on "$1" ip link set user0 mtu 1400; }
heal() { on "$1" ip link set user0 mtu 1500; }
