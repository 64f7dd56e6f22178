"""Builds the ``sh`` scripts that create temporary namespaces on a host, send frames from them, and remove them.

This module quotes every value that it puts into a script.

A namespace has no name: one process, ``sleep``, keeps it alive. That process ends at its timeout or when it is killed. Then
the kernel removes the namespace and with it both ends of the veth pair. So nothing is left, even if sigsrv is gone.
The scripts find the process by a word in its environment, which only its owner and root can read.

The scripts write no file and load no kernel module. On the host they need iproute2, util-linux and the ping of iputils.
"""

from __future__ import annotations

import shlex
from collections.abc import Iterable, Sequence

PREFIX = "sgp"  # a link on the host is named sgp and eight hexadecimal digits
ID = "frames"  # the probe under which the evidence stores the answers
ALIAS = "sigsrv-probe until"  # followed by the time (seconds since the epoch) at which the host has removed the link
_MARK = "SIGSRV_PROBE"
TOOLS = ("ip", "nsenter", "unshare", "setsid", "ping", "sleep", "grep", "tr", "readlink")

# Runs inside the namespace. It gets no automatic address except fe80::, which is ready at once. The script chooses an address that
# no station answers for. It adds a link for tagged frames only if the kernel already has 802.1Q loaded, because creating one would
# load the module. While the namespace has no address, ARP requests come from 0.0.0.0: every station answers, none stores it (RFC 5227).
_INSIDE = """\
tag=$1 id=$2 mtu=$3; shift 3
if cd /proc/sys/net/ipv6/conf/eth0 2>/dev/null; then
  echo 0 >accept_ra; echo 0 >autoconf; echo 0 >accept_dad; echo 0 >router_solicitations; cd /
fi
ip link set dev lo up && ip link set dev eth0 up || exit
chosen=
for each; do
  at=${each%/*}
  ip route replace "$at" dev eth0 || exit
  ping -n -q -c 1 -W 1 "$at" >/dev/null 2>&1
  case $(ip neigh show to "$at" dev eth0) in
    *lladdr*) ip route del "$at" dev eth0 ;;
    *) chosen=$each; break ;;
  esac
done
[ -n "$chosen" ] || { echo "every candidate address is in use: $*"; exit 1; }
ip route del "$at" dev eth0 && ip neigh flush dev eth0 && ip addr add "$chosen" dev eth0 || exit
tagged=no
if [ -e /proc/net/vlan ] && ip link add link eth0 name tag mtu "$((mtu - 4))" type vlan proto 802.1ad id "$id" 2>/dev/null; then
  [ ! -e /proc/sys/net/ipv6/conf/tag ] || echo 1 >/proc/sys/net/ipv6/conf/tag/disable_ipv6
  ip addr add "$tag" dev tag && ip link set dev tag up && tagged=yes
fi
echo "$chosen $tagged"
"""

# A bridge without a configured MTU takes the smallest MTU of its ports. One without a configured MAC takes the lowest MAC of its
# ports. So the new port gets the bridge's own MTU and a high MAC before it is attached.
_SETUP = """\
inside={inside}
until=$(($(date +%s) + {life}))
for tool in {tools}; do command -v "$tool" >/dev/null || {{ echo "lack $tool"; exit 0; }}; done
case $(ping -V 2>&1) in *iputils*) ;; *) echo "lack ping of iputils"; exit 0 ;; esac
[ "$(id -u)" = 0 ] || {{ echo "refused it needs root"; exit 0; }}
out=$(unshare -n true 2>&1) || {{ echo "refused $out"; exit 0; }}
here=$(readlink /proc/self/ns/net)
port() {{
  n=$1 bridge=$2 link=$3 outer=$4 mac=$5 tag=$6 id=$7; shift 7
  no() {{ printf 'port %s no %s\\n' "$n" "$(printf %s "$*" | tr '\\n' ' ' | cut -c 1-200)"; exit; }}
  mtu=$(cat "/sys/class/net/$bridge/mtu" 2>&1) || no "no bridge $bridge on the host"
  [ ! -e "/sys/class/net/$link" ] || no "a link $link already exists"
  {mark}={word} setsid unshare -n sleep {life} </dev/null >/dev/null 2>&1 &
  pid=$! i=0
  until there=$(readlink "/proc/$pid/ns/net") && [ "$there" != "$here" ]; do
    i=$((i + 1))
    [ "$i" -lt 250 ] && kill -0 "$pid" 2>/dev/null || no "the namespace was not created"
    sleep 0.02
  done
  out=$(ip link add "$link" mtu "$mtu" address "$outer" type veth peer name eth0 mtu "$mtu" address "$mac" netns "$pid" 2>&1) || no "$out"
  out=$( {{ ip link set dev "$link" alias "{alias} $until" &&
    {{ [ ! -e "/proc/sys/net/ipv6/conf/$link" ] || echo 1 >"/proc/sys/net/ipv6/conf/$link/disable_ipv6"; }} &&
    ip link set dev "$link" master "$bridge" && ip link set dev "$link" up &&
    nsenter -t "$pid" -n ip link set dev eth0 up; }} 2>&1) || no "$out"
  i=0
  until [ "$(cat "/sys/class/net/$link/brport/state" 2>/dev/null)" = 3 ]; do
    i=$((i + 1))
    [ "$i" -lt 200 ] || no "its port on $bridge does not forward"
    sleep 0.05
  done
  out=$(nsenter -t "$pid" -n sh -c "$inside" sh "$tag" "$id" "$mtu" "$@" 2>&1) || no "$out"
  printf 'port %s ok %s %s %s\\n' "$n" "$pid" "$mtu" "$out"
}}
"""

# ping runs a second time if no reply came back at all. It always sends an ARP request; the script then reads the MAC that answered.
_SEND = """\
holds() {{ tr '\\0' '\\n' 2>/dev/null <"/proc/$1/environ" | grep -qx {mark}={word}; }}
ask() {{
  for wait in 1 2; do
    out=$(nsenter -t "$pid" -n ping -n -q -c 3 -i 0.2 -W "$wait" "$@" 2>&1)
    line=$(printf '%s\\n' "$out" | grep 'packets transmitted' || printf '%s\\n' "$out" | tail -n 1 | cut -c 1-160)
    case $line in *' transmitted, 0 received'*) ;; *) break ;; esac
  done
}}
both() {{
  ask "$@"; printf 'said %s %s %s\\n' "$n" "$what" "$line"
  [ "$what" != small ] || printf 'said %s arp %s\\n' "$n" "$(nsenter -t "$pid" -n ip -j neigh show to "$at" dev eth0 2>&1 | tr '\\n' ' ')"
  [ -n "$size" ] || return
  case $line in *' transmitted, 0 received'*) return ;; esac
  ask -M do -s "$size" "$@"; printf 'said %s %s %s\\n' "$n" "$full" "$line"
}}
path() {{
  n=$1 pid=$2 at=$3 size=$4 tagged=$5 smaller=$6 six=$7
  holds "$pid" || {{ printf 'said %s gone\\n' "$n"; return; }}
  (what=small full=full; both "$at") &
  [ -z "$tagged" ] || (what=tagged full=tagged-full size=$smaller; both -I tag "$tagged") &
  [ -z "$six" ] || (what=six size=; both -6 -I eth0 "$six") &
  wait
}}
"""

# The kernel removes a link shortly after the last process of its namespace ends. A link of the same name without the alias is not ours.
_TEARDOWN = """\
for file in $(grep -lszx {mark}={word} /proc/[0-9]*/environ); do
  pid=${{file#/proc/}}
  kill -KILL "${{pid%/environ}}" 2>/dev/null
done
i=0
while [ "$i" -lt 100 ]; do
  left=
  for link in {links}; do
    case $(cat "/sys/class/net/$link/ifalias" 2>/dev/null) in '{alias} '*) left="$left $link" ;; esac
  done
  [ -n "$left" ] || break
  i=$((i + 1))
  sleep 0.05
done
echo "left$left"
"""


def _calls(name: str, calls: Iterable[Sequence[str]]) -> str:
    """Return a background call for each row of arguments, and the ``wait`` for all of them."""
    return "".join(f"{shlex.join([name, *arguments])} &\n" for arguments in calls) + "wait\n"


def setup(word: str, life_s: int, ports: Iterable[Sequence[str]]) -> str:
    """Return the script that creates namespaces.

    word: letters and digits. life_s: the host removes the namespaces after this many seconds. ports: for each: number, bridge,
    link, the MACs of both ends, the address of the tagged link, the VLAN id, and the candidate addresses.

    Prints one line per port: ``port N ok PID MTU ADDRESS yes|no`` or ``port N no REASON``. Or only one line:
    ``lack PROGRAM`` or ``refused REASON``.
    """
    head = _SETUP.format(
        inside=shlex.quote(_INSIDE), life=life_s, tools=" ".join(TOOLS), mark=_MARK, word=word, alias=ALIAS
    )
    return head + _calls("port", ports)


def send(word: str, paths: Iterable[Sequence[str]]) -> str:
    """Return the script that sends frames.

    paths: for each: number, PID, address, payload size of a full packet; and, or "", the tagged address, the payload size for it,
    and the IPv6 address.

    Prints ``said N small|full|tagged|tagged-full|six LINE``, with the line of ping that counts replies; ``said N arp JSON``;
    or ``said N gone`` if the namespace no longer exists.
    """
    return _SEND.format(mark=_MARK, word=word) + _calls("path", paths)


def teardown(word: str, links: Iterable[str]) -> str:
    """Return the script that removes the namespaces. word: finds their processes. links: the names of their links.

    Prints ``left`` and the links that still exist.
    """
    return _TEARDOWN.format(mark=_MARK, word=word, links=shlex.join(links), alias=ALIAS)
