# shellcheck shell=bash
# shows: NET-007
# does: turns off NAT and Incus's own firewall rules on incusbr0, for the whole cluster

inject() { set_keys "$1" "network incusbr0" ipv4.nat=false ipv4.firewall=no; }
heal() { set_keys "$1" "network incusbr0" ipv4.nat=true ipv4.firewall=; }
