"""ACL-006 configured and shown, over what decides it: the network's ACL, br_netfilter on each host, ACLs of NICs.

What is true is told by the instances themselves: one pings another. Held against the verdict of the configuration, and against what
``--probe`` shows by frames of its own.
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

pytestmark = pytest.mark.lab("vm")  # NICs can't be filtered by the namespaces' kernel

FINDING = "ACL-006@cluster/userbr0"
OWN = ("destination=172.24.0.0/16,fe80::/10", "action=reject")  # the rule that keeps users from each other
NIC = ("default", "nic-a")
SAME_HOST = (("restricted", "tenant1"), ("user-alice", "alice1"))
ACROSS = (("restricted", "tenant2"), ("user-alice", "alice1"))


@dataclass(frozen=True)
class Row:
    """acl: ``isolating`` as it is, ``open`` without its rule for the own subnet, ``none``: detached.

    filtered: the hosts whose br_netfilter leads frames between two ports to the rules. nic: an instance more, whose NIC has an ACL.
    """

    acl: str
    filtered: tuple[str, ...]
    nic: bool
    configured: str
    same_host: bool  # whether a ping passes between two instances of minisrv
    across: bool  # from one on sigsrv to one on minisrv
    to_nic: bool | None = None  # to an instance whose NIC has an ACL


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
def made(lab: Lab, row: Row) -> Iterator[None]:
    """The lab as a row says, and afterwards as it was."""
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
            # Its own ACL rejects what comes in, and so keeps the answers of DHCP from it.
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
def test_what_is_configured_and_what_is_shown_agree_with_what_instances_reach(lab, row):
    """The verdict is the expected one, without frames and with them; and frames say that something passes where something does."""
    with made(lab, row):
        true = passes(lab, *SAME_HOST), passes(lab, *ACROSS), passes(lab, SAME_HOST[0], NIC) if row.nic else None
        run, _ = scan.scan(prepare(Options(site=str(lab.site), probe=True)))
    (found,) = [finding for finding in run.findings if finding.id == FINDING]
    result = found.observed or found.reason
    print(f"| {row.acl} | {', '.join(row.filtered) or 'none'} | {row.nic} | {true} | {found.verdict} | {result} |")

    assert true == (row.same_host, row.across, row.to_nic)
    assert found.verdict == row.configured, result
    if row.configured != "not-applicable":
        assert ("shown: none of" in result) is not (row.same_host or row.across), result
