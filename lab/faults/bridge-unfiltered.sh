# shellcheck shell=bash
# shows: ACL-006
# does: no rule meets what a bridge of the host passes from port to port, as where br_netfilter is not loaded

inject() { on "$1" sysctl -qw net.bridge.bridge-nf-call-iptables=0 net.bridge.bridge-nf-call-ip6tables=0; }
heal() { on "$1" sysctl -qw net.bridge.bridge-nf-call-iptables=1 net.bridge.bridge-nf-call-ip6tables=1; }
