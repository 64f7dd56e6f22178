# The changes of site.template.yaml for three hosts: twinsrv has other names, and is not on the VLAN of incusbr0
s/^version: 1/version: 2/
/name: minisrv, member:/a\
  - {name: twinsrv, member: twinsrv, ssh_config: ssh_config}
/name: incusbr0/a\
    members: [sigsrv, minisrv]
s/interface: incus0, id: 16, kinds: \[veth\]/interface: incus0, id: 16, kinds: [vxlan], parent: {sigsrv: enp5s0, minisrv: enp3s0}/
s/interface: \([a-z]*0\), id: \([0-9]*\), kinds: \[veth\]/interface: {twinsrv: vlan\2, "*": \1}, id: \2, kinds: [vxlan], parent: {sigsrv: enp5s0, minisrv: enp3s0, twinsrv: eno1}/
s/# a veth pair .*/# a VXLAN replaces the VLAN interface: namespaces have no 802.1Q/
s/minisrv: \["10.213.7.2:8443"\]/&, twinsrv: ["10.213.7.3:8443"]/
