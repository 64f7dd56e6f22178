# shellcheck shell=bash
# shows: ACL-006
# does: turns off packet filtering between bridge ports on the host, as if br_netfilter were not loaded

inject() { on "$1" sysctl -qw net.bridge.bridge-nf-call-iptables=0 net.bridge.bridge-nf-call-ip6tables=0; }
heal() { on "$1" sysctl -qw net.bridge.bridge-nf-call-iptables=1 net.bridge.bridge-nf-call-ip6tables=1; }
