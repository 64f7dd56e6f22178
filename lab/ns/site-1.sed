# The changes of site.template.yaml for one host in no cluster
/name: minisrv, member:/d
s/, member: sigsrv//
s/kinds: \[veth\]/kinds: [vxlan], parent: enp5s0/
s/# a veth pair .*/# a VXLAN replaces the VLAN interface: namespaces have no 802.1Q/
s/listen: .*/listen: {sigsrv: ["10.213.7.1:8443"]}/
/^proxies:/,/^  - /d
