# shellcheck shell=bash
# shows: NET-007
# does: switches off NAT and Incus's own firewall rules of incusbr0, for the cluster

inject() { set_keys "$1" "network incusbr0" ipv4.nat=false ipv4.firewall=no; }
heal() { set_keys "$1" "network incusbr0" ipv4.nat=true ipv4.firewall=; }
