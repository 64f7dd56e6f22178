"""Compares ACL-006 with the traffic between instances, for combinations of network ACL, br_netfilter and NIC ACL.

Pings between the instances show the truth. They are compared with the verdict on the configuration and with the
frames of ``--probe``.
"""

from __future__ import annotations

import contextlib
import re
from collections.abc import Iterator
from dataclasses import dataclass

import pytest

from sigsrv.scan import scan
from sigsrv.scan.options import Options
from sigsrv.scan.plan import prepare
from tests.e2e.conftest import Lab

pytestmark = pytest.mark.lab("vm")  # the kernel below the namespaces can't filter NICs

FINDING = "ACL-006@cluster/userbr0"
OWN = ("destination=172.24.0.0/16,fe80::/10", "action=reject")  # the rule that isolates users from each other
NIC = ("default", "nic-a")
SAME_HOST = (("restricted", "tenant1"), ("user-alice", "alice1"))
ACROSS = (("restricted", "tenant2"), ("user-alice", "alice1"))


@dataclass(frozen=True)
class Row:
    """Describes one combination.

    acl: ``isolating`` is the lab's own, ``open`` lacks the rule for the own subnet, ``none`` is detached. filtered:
    hosts whose br_netfilter passes bridged frames to the rules. nic: an extra instance whose NIC has an ACL.
    """

    acl: str
    filtered: tuple[str, ...]
    nic: bool
    configured: str
    same_host: bool  # a ping passes between two instances on minisrv
    across: bool  # a ping passes from an instance on sigsrv to one on minisrv
    to_nic: bool | None = None  # a ping passes to the instance whose NIC has an ACL


BOTH = ("sigsrv", "minisrv")
MATRIX = [
    Row("isolating", BOTH, False, "pass", False, False),
    Row("isolating", ("sigsrv",), False, "fail", True, False),
    Row("isolating", (), False, "fail", True, True),
    Row("open", BOTH, False, "fail", True, True),
    Row("open", (), False, "fail", True, True),
    Row("none", BOTH, False, "not-applicable", True, True),
    Row("isolating", (), True, "fail", True, True, to_nic=False),
    Row("isolating", BOTH, True, "pass", False, False, to_nic=False),
]


def incus(lab: Lab, *argv: str) -> str:
    return lab.on("sigsrv", "incus", "-q", *argv)


def address(lab: Lab, instance: tuple[str, str]) -> str:
    listed = incus(lab, "list", "--project", instance[0], f"^{instance[1]}$", "-f", "csv", "-c", "4")
    return listed.split()[0].strip('"')


def passes(lab: Lab, one: tuple[str, str], other: tuple[str, str]) -> bool:
    ping = f"ping -c 3 -W 2 {address(lab, other)}"
    result = lab.on("sigsrv", "sh", "-c", f"incus exec --project {one[0]} {one[1]} -- {ping} </dev/null || true")
    sent = re.search(r"(\d+) packets received", result)
    assert sent, result
    return int(sent[1]) > 0


@contextlib.contextmanager
def apply_row(lab: Lab, row: Row) -> Iterator[None]:
    """Change the lab as the row describes, and restore it afterwards."""
    keys = ("security.acls=user-isolate", "security.acls.default.egress.action=allow")
    keys += ("security.acls.default.ingress.action=reject",)
    try:
        for host in BOTH:
            if host not in row.filtered:
                lab.fault("bridge-unfiltered", host)
        if row.acl == "open":
            incus(lab, "network", "acl", "rule", "remove", "user-isolate", "egress", *OWN)
        elif row.acl == "none":
            incus(lab, "network", "set", "userbr0", *(key.partition("=")[0] + "=" for key in keys))
        if row.nic:
            incus(lab, "create", "busybox", NIC[1], "--target", "minisrv")
            incus(lab, "config", "device", "override", NIC[1], "eth0", "network=userbr0", "security.acls=user-isolate")
            incus(lab, "start", NIC[1])
            # Its ACL rejects incoming packets, so it gets no address by DHCP.
            lab.on("sigsrv", "sh", "-c", f"incus exec {NIC[1]} -- ip address add 172.24.200.9/16 dev eth0 </dev/null")
        yield
    finally:
        if row.nic:
            incus(lab, "delete", "-f", NIC[1])
        if row.acl == "open":
            incus(lab, "network", "acl", "rule", "add", "user-isolate", "egress", *OWN, "state=enabled")
        elif row.acl == "none":
            incus(lab, "network", "set", "userbr0", *keys)
        for host in BOTH:
            if host not in row.filtered:
                lab.fault("bridge-unfiltered", host, heal=True)


@pytest.mark.parametrize(
    "row", MATRIX, ids=lambda row: f"{row.acl}-{'+'.join(row.filtered) or 'unfiltered'}{'-nic' * row.nic}"
)
def test_verdict_and_frames_agree_with_pings_between_instances(lab, row):
    """The verdict is the expected one, with and without frames, and the frames report passing traffic if pings pass."""
    with apply_row(lab, row):
        reality = passes(lab, *SAME_HOST), passes(lab, *ACROSS), passes(lab, SAME_HOST[0], NIC) if row.nic else None
        run, _ = scan.scan(prepare(Options(site=str(lab.site), probe=True)))
    (found,) = [finding for finding in run.findings if finding.id == FINDING]
    result = found.observed or found.reason
    print(f"| {row.acl} | {', '.join(row.filtered) or 'none'} | {row.nic} | {reality} | {found.verdict} | {result} |")

    assert reality == (row.same_host, row.across, row.to_nic)
    assert found.verdict == row.configured, result
    if row.configured != "not-applicable":
        assert ("pings: none of" in result) is not (row.same_host or row.across), result
