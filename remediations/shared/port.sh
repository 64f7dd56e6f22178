# A port of a bridge, and what the kernel forgets when it leaves the bridge.
master_of() { # LINK: print the bridge that it is in
  if [ -L "/sys/class/net/$1/master" ]; then basename "$(readlink "/sys/class/net/$1/master")"; fi
}

port_options() { # PORT: print each option that can be written, with its value
  for option in path_cost priority hairpin_mode bpdu_guard root_block learning unicast_flood multicast_flood broadcast_flood \
    multicast_router multicast_fast_leave multicast_to_unicast proxyarp proxyarp_wifi neigh_suppress isolated group_fwd_mask; do
    if [ -r "/sys/class/net/$1/brport/$option" ]; then echo "$option $(cat "/sys/class/net/$1/brport/$option")"; fi
  done
}

port_vlans() { # PORT: print a line for each VLAN of the port, or range of VLANs, with its flags; nothing without bridge(8)
  if command -v bridge >/dev/null; then
    bridge -compressvlans vlan show dev "$1" | sed -n -e 1d -e '2s/^[^[:space:]]*//' -e 's/^[[:space:]]*//' -e '/^[0-9]/p'
  fi
}

set_options() { # PORT: set the options of standard input
  while read -r option value; do
    file=/sys/class/net/$1/brport/$option
    [ "$(cat "$file")" = "$value" ] || echo "$value" >"$file"
  done
}

set_vlans() { # PORT VLANS: replace the VLANs that the bridge gave the port
  given=$(port_vlans "$1")
  [ "$given" != "$2" ] || return 0
  printf '%s\n' "$given" | while read -r id _; do
    if [ -n "$id" ]; then bridge vlan del dev "$1" vid "$id"; fi
  done
  printf '%s\n' "$2" | while read -r id is; do
    pvid='' untagged=''
    case $is in *PVID*) pvid=yes ;; esac
    case $is in *Untagged*) untagged=yes ;; esac
    if [ -n "$id" ]; then bridge vlan add dev "$1" vid "$id" ${pvid:+pvid} ${untagged:+untagged}; fi
  done
}
