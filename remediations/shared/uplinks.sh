kind_of() { # LINK: print its kind as the kernel names it, nothing for hardware
  ip -d -j link show dev "$1" | sed -n 's/.*"info_kind":"\([a-z0-9_]*\)".*/\1/p'
}

# A bridge without STP forwards the frames of one uplink to the other for ever if both lead to the same host.
no_second_uplink() { # BRIDGE INTERFACE: refuse a bridge with another port that leads out of the host. Needs is_declared PORT.
  if [ "$(cat "/sys/class/net/$1/bridge/stp_state" 2>/dev/null || true)" = 1 ]; then return 0; fi
  for port in "/sys/class/net/$1/brif"/*; do
    port=${port##*/}
    if [ "$port" = "$2" ] || [ ! -e "/sys/class/net/$port" ] || is_declared "$port"; then continue; fi
    kind=$(kind_of "$port")
    case $kind in veth | tun | dummy) continue ;; esac # the NIC of an instance, or the link with which Incus keeps the MTU
    refuse "$port (${kind:-hardware}) is a port of $1 too, and $1 runs no STP. If it leads to the same host as $2, the change closes a loop. Detach it first: ip link set dev $port nomaster"
  done
}
