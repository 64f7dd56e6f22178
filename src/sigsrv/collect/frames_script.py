"""The ``sh`` scripts that make throw-away namespaces on a host, send frames from them, and take them away.

What is put into a script is quoted here.

A namespace has no name: one process, ``sleep``, holds it. When that ends, by itself after its time or by whatever kills it, the kernel
takes away the namespace and with it both ends of the veth pair: nothing is left, whatever becomes of who asked for it. The process is
known by a word in its environment, which only its owner and root can read.

The scripts write no file and load no kernel module. On a host they need iproute2, util-linux and the ping of iputils.
"""

from __future__ import annotations

import shlex
from collections.abc import Iterable, Sequence

PREFIX = "sgp"  # of the host's ends: sgp and eight hexadecimal digits
ID = "frames"  # of the probe that what came back is kept as
ALIAS = "sigsrv-probe until"  # and the second, since the epoch, by which the host has taken it away
_MARK = "SIGSRV_PROBE"
TOOLS = ("ip", "nsenter", "unshare", "setsid", "ping", "sleep", "grep", "tr", "readlink")

# Within the namespace: no address by itself but fe80::, at once; an address that nobody answers for; a link for tagged frames where
# the kernel has 802.1Q already (asking for one would load its module). As long as it has no address it asks by ARP from 0.0.0.0, which
# every station answers and none remembers (RFC 5227).
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
[ -n "$chosen" ] || { echo "each address that was tried is somebody's: $*"; exit 1; }
ip route del "$at" dev eth0 && ip neigh flush dev eth0 && ip addr add "$chosen" dev eth0 || exit
tagged=no
if [ -e /proc/net/vlan ] && ip link add link eth0 name tag mtu "$((mtu - 4))" type vlan proto 802.1ad id "$id" 2>/dev/null; then
  [ ! -e /proc/sys/net/ipv6/conf/tag ] || echo 1 >/proc/sys/net/ipv6/conf/tag/disable_ipv6
  ip addr add "$tag" dev tag && ip link set dev tag up && tagged=yes
fi
echo "$chosen $tagged"
"""

# A bridge whose MTU nobody set follows its smallest port, one whose address nobody set its lowest: the port has the bridge's own MTU
# and a high address before it is attached.
_SETUP = """\
inside={inside}
until=$(($(date +%s) + {life}))
for tool in {tools}; do command -v "$tool" >/dev/null || {{ echo "lack $tool"; exit 0; }}; done
case $(ping -V 2>&1) in *iputils*) ;; *) echo "lack ping of iputils"; exit 0 ;; esac
[ "$(id -u)" = 0 ] || {{ echo "refused it needs root"; exit 0; }}
said=$(unshare -n true 2>&1) || {{ echo "refused $said"; exit 0; }}
here=$(readlink /proc/self/ns/net)
port() {{
  n=$1 bridge=$2 link=$3 outer=$4 mac=$5 tag=$6 id=$7; shift 7
  no() {{ printf 'port %s no %s\\n' "$n" "$(printf %s "$*" | tr '\\n' ' ' | cut -c 1-200)"; exit; }}
  mtu=$(cat "/sys/class/net/$bridge/mtu" 2>&1) || no "there is no bridge $bridge"
  [ ! -e "/sys/class/net/$link" ] || no "there is a link $link already"
  {mark}={word} setsid unshare -n sleep {life} </dev/null >/dev/null 2>&1 &
  pid=$! i=0
  until there=$(readlink "/proc/$pid/ns/net") && [ "$there" != "$here" ]; do
    i=$((i + 1))
    [ "$i" -lt 250 ] && kill -0 "$pid" 2>/dev/null || no "no namespace was made"
    sleep 0.02
  done
  said=$(ip link add "$link" mtu "$mtu" address "$outer" type veth peer name eth0 mtu "$mtu" address "$mac" netns "$pid" 2>&1) || no "$said"
  said=$( {{ ip link set dev "$link" alias "{alias} $until" &&
    {{ [ ! -e "/proc/sys/net/ipv6/conf/$link" ] || echo 1 >"/proc/sys/net/ipv6/conf/$link/disable_ipv6"; }} &&
    ip link set dev "$link" master "$bridge" && ip link set dev "$link" up &&
    nsenter -t "$pid" -n ip link set dev eth0 up; }} 2>&1) || no "$said"
  i=0
  until [ "$(cat "/sys/class/net/$link/brport/state" 2>/dev/null)" = 3 ]; do
    i=$((i + 1))
    [ "$i" -lt 200 ] || no "its port of $bridge does not forward"
    sleep 0.05
  done
  said=$(nsenter -t "$pid" -n sh -c "$inside" sh "$tag" "$id" "$mtu" "$@" 2>&1) || no "$said"
  printf 'port %s ok %s %s %s\\n' "$n" "$pid" "$mtu" "$said"
}}
"""

# A trial is made a second time where nothing at all came back. The address is asked for by ARP in any case; what it was seen at is
# read afterwards.
_SEND = """\
holds() {{ tr '\\0' '\\n' 2>/dev/null <"/proc/$1/environ" | grep -qx {mark}={word}; }}
ask() {{
  for wait in 1 2; do
    said=$(nsenter -t "$pid" -n ping -n -q -c 3 -i 0.2 -W "$wait" "$@" 2>&1)
    line=$(printf '%s\\n' "$said" | grep 'packets transmitted' || printf '%s\\n' "$said" | tail -n 1 | cut -c 1-160)
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

# The kernel takes a link away a moment after the last process of its namespace. One of that name that was there before is none of ours.
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
    """A call in the background for each row of arguments, and the wait for all of them."""
    return "".join(f"{shlex.join([name, *arguments])} &\n" for arguments in calls) + "wait\n"


def setup(word: str, life_s: int, ports: Iterable[Sequence[str]]) -> str:
    """The script that makes namespaces. word: letters and digits; life_s: after so many seconds the host takes them away.

    ports: for each number, bridge, link, the two ends' MACs, the tagged link's address, the tag's id, and the addresses to choose
    from. It prints a line for each: ``port N ok PID MTU ADDRESS yes|no`` or ``port N no REASON``; or one ``lack PROGRAM`` or
    ``refused REASON`` alone.
    """
    head = _SETUP.format(
        inside=shlex.quote(_INSIDE), life=life_s, tools=" ".join(TOOLS), mark=_MARK, word=word, alias=ALIAS
    )
    return head + _calls("port", ports)


def send(word: str, paths: Iterable[Sequence[str]]) -> str:
    """The script that sends. paths: for each number, PID, address, size of a full packet's content, and, or "", the tagged address, the
    size there and the IPv6 address.

    It prints ``said N small|full|tagged|tagged-full|six LINE``, the line in which ping counts; ``said N arp JSON``; or ``said N gone``.
    """
    return _SEND.format(mark=_MARK, word=word) + _calls("path", paths)


def teardown(word: str, links: Iterable[str]) -> str:
    """The script that takes them away, by their word and the names of their links. It prints ``left`` and those that are still there."""
    return _TEARDOWN.format(mark=_MARK, word=word, links=shlex.join(links), alias=ALIAS)
