"""Puts things on the hosts of a lab that no policy looks at and no fix may touch: a tunnel with an address, a policy route, a rule."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from tests.e2e.conftest import Lab

# systemd-networkd removes rules that it did not make when a link changes, except those of protocol kernel (networkd.conf(5)).
_MAKE = """\
set -e
ip link add vx24 type vxlan id 24 dstport 4790 dev lo
ip link set vx24 up
ip addr add 10.96.0.1/24 dev vx24 label vx24:by
ip addr add 10.96.1.1/24 dev vx24 noprefixroute
ip route add default via 10.96.0.9 dev vx24 table 196
ip route add 10.97.0.0/16 via 10.96.0.9 dev vx24 proto static
ip rule add from 10.96.0.1 table 196 protocol kernel
"""
# Only virtual machines have these kinds of links.
_MAKE_VM = """\
ip link add dm24 type dummy
ip addr add 10.98.0.1/24 dev dm24
ip link set dm24 up
ip link add gt24 type gretap local 10.98.0.1 remote 10.98.0.2
"""
_REMOVE = (
    "ip rule del from 10.96.0.1 table 196; for link in vx24 dm24 gt24; do ip link del $link 2>/dev/null; done; true"
)
_LOOK = """\
ip rule show
ip route show table 196
ip route show dev vx24
for link in vx24 dm24 gt24; do
  ip -o addr show dev $link 2>/dev/null | sed 's/ tentative//' # until the kernel has looked for duplicates
  ip -o -d link show dev $link 2>/dev/null | sed 's/.* mtu/mtu/'
done
true
"""
HOSTS = ("sigsrv", "minisrv")


def look(lab: Lab) -> dict[str, str]:
    """Return what the hosts have of the bystanders, and all their rules, as ``ip`` prints it."""
    return {host: lab.on(host, "sh", "-c", _LOOK) for host in HOSTS}


@contextmanager
def bystanders(lab: Lab) -> Iterator[dict[str, str]]:
    """Provide the bystanders on both hosts, and how they look."""
    try:
        for host in HOSTS:
            lab.on(host, "sh", "-c", _MAKE + (_MAKE_VM if lab.kind == "vm" else ""))
        found = look(lab)
        assert all("vx24:by" in each and "lookup 196" in each for each in found.values())
        yield found
    finally:
        for host in HOSTS:
            lab.on(host, "sh", "-c", _REMOVE)
