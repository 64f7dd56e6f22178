# shellcheck shell=bash
# shows: XHOST-004
# does: drops all frames of VLAN 20 on the trunk of the host, like a switch without that VLAN; nothing else on the host changes
# labs: vm

inject() {
  # shellcheck disable=SC2016 # expanded on the host
  on "$1" sh -c 'tc qdisc show dev eth1 clsact | grep -q . || {
    tc qdisc add dev eth1 clsact
    for way in ingress egress; do tc filter add dev eth1 "$way" protocol 802.1Q flower vlan_id 20 action drop; done; }'
}
heal() { on "$1" sh -c '! tc qdisc show dev eth1 clsact | grep -q . || tc qdisc delete dev eth1 clsact'; }
