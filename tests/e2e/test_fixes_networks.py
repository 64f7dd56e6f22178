"""Tests fixes of networks on the lab among what others made there: ports, addresses, routes, ACLs, leases, an evacuated member.

A fix changes what it says and nothing else, or it refuses with names. Its undo leaves alone what somebody changed since.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from tests.e2e import operator
from tests.e2e.conftest import Lab
from tests.e2e.operator import HOSTS, clean_in_the_end, nothing_left, one_line

pytestmark = pytest.mark.lab

__all__ = ["clean_in_the_end", "nothing_left"]

ACLS = "ACL-001@cluster/userbr0"
VXLAN = (
    "ip link add vx24 type vxlan id 24 dstport 4790 local 10.213.7.{own} remote 10.213.7.{other}"
    " && ip link set vx24 master userbr0 up"
)


class Operator(operator.Operator):
    """Fixes and undoes findings that must be verified."""

    def declare(self, **userbr0: Any) -> None:
        """Use a site file that says something else of userbr0."""
        site = self.site()
        next(each for each in site["bridges"] if each["name"] == "userbr0").update(userbr0)
        self.use(site)

    def fix(self, finding: str) -> str:
        """Fix a finding; it must be verified. Returns the output."""
        done = self.remediate(finding, "--yes")
        assert done.returncode == 0, done.stdout + done.stderr
        return done.stdout

    def undo(self, output: str, *argv: str, kept: bool = False) -> str:
        """Undo the run of an output; it must be verified. Returns the output.

        kept: somebody changed a value since, so the undo must say with its exit status that it did not put back everything.
        """
        (run,) = re.findall(r"--undo (\S+)", output)
        done = self.remediate("--undo", run, "--yes", *argv)
        assert done.returncode == int(kept), done.stdout + done.stderr
        return one_line(done)

    def refusal(self, finding: str) -> str:
        """Return why a fix is refused, in one line."""
        done = self.remediate(finding, "--yes")
        assert done.returncode in (1, 4), done.stdout + done.stderr
        return one_line(done)


@pytest.fixture(name="operator")
def an_operator(lab: Lab, tmp_path: Path) -> Operator:
    return Operator(lab, tmp_path)


def run(lab: Lab, host: str, code: str) -> str:
    return lab.on(host, "sh", "-c", code).strip()


def key(lab: Lab, network: str, name: str) -> str:
    return run(lab, "sigsrv", f"incus network get {network} {name}")


def master(lab: Lab, host: str, link: str) -> str:
    return run(lab, host, f"[ ! -e /sys/class/net/{link}/master ] || basename $(readlink /sys/class/net/{link}/master)")


@contextmanager
def fault(lab: Lab, name: str, host: str) -> Iterator[None]:
    lab.fault(name, host)
    try:
        yield
    finally:
        lab.fault(name, host, heal=True)


@contextmanager
def made(lab: Lab, host: str, make: str, remove: str) -> Iterator[None]:
    """Make something on a host, and remove it afterwards."""
    try:
        run(lab, host, make)
        yield
    finally:
        run(lab, host, remove)


@contextmanager
def vxlan(lab: Lab, host: str, own: int) -> Iterator[None]:
    with made(lab, host, VXLAN.format(own=own, other=3 - own), "ip link del vx24 2>/dev/null; true"):
        yield


BYSTANDERS = (
    "ip addr add 172.24.0.9/16 dev userbr0; ip route add 10.99.0.0/16 via 172.24.0.77 dev userbr0 proto static; "
    "ip route add 10.97.0.0/16 via 172.24.0.77 dev userbr0 table 100"
)
NO_BYSTANDERS = (
    "ip route del 10.99.0.0/16 2>/dev/null; ip route del 10.97.0.0/16 table 100 2>/dev/null; "
    "ip addr del 172.24.0.9/16 dev userbr0 2>/dev/null; true"
)


def test_network_fix_is_refused_where_incus_would_delete_ports_addresses_and_routes(lab: Lab, operator: Operator):
    """They are on the other member than the one that the fix runs on. All are named, and all are still there."""
    operator.declare(extra_ports=["vx24"])
    host = "minisrv"
    with fault(lab, "acl-detached", "sigsrv"), vxlan(lab, host, 2), made(lab, host, BYSTANDERS, NO_BYSTANDERS):
        reason = operator.refusal(ACLS)
        there = run(lab, host, "ip -br link show master userbr0; ip -br addr show dev userbr0; ip route show table all")
        acls = key(lab, "userbr0", "security.acls")

    assert "minisrv: Incus would delete vx24 (vxlan), a port of userbr0" in reason
    assert "minisrv: Incus would delete the address 172.24.0.9/16 of userbr0" in reason
    assert "10.99.0.0/16 via 172.24.0.77 dev userbr0 protocol static" in reason
    assert "10.97.0.0/16 via 172.24.0.77 dev userbr0 table 100" in reason
    assert all(word in there for word in ("vx24", "172.24.0.9/16", "10.99.0.0/16", "10.97.0.0/16"))
    assert acls == ""


def test_restart_of_the_daemon_is_refused_where_its_start_would_delete_something(lab: Lab, operator: Operator):
    """The start of the daemon sets up the networks of its own host like a change of a key does."""
    operator.declare(extra_ports=["vx24"])
    host = "minisrv"
    with fault(lab, "ruleset-flushed", host), vxlan(lab, host, 2), made(lab, host, BYSTANDERS, NO_BYSTANDERS):
        reason = operator.refusal(f"ACL-007@{host}/userbr0")

    assert f"{host}: Incus would delete vx24 (vxlan), a port of userbr0" in reason
    assert f"{host}: Incus would delete the address 172.24.0.9/16 of userbr0" in reason
    assert "10.97.0.0/16 via 172.24.0.77 dev userbr0 table 100" in reason


def test_vxlan_that_a_unit_attaches_is_kept_on_both_hosts(lab: Lab, operator: Operator):
    """The site file may declare such a link. The fix is refused until bridge.external_interfaces names it; then it stays attached."""
    vlan = {"interface": "vx24", "id": 24, "kinds": ["vxlan"]}
    operator.declare(vlan={**vlan, "persisted_by": "vx24.service"}, extra_ports=["user0"])
    with fault(lab, "acl-detached", "sigsrv"), vxlan(lab, "sigsrv", 1), vxlan(lab, "minisrv", 2):
        reason = operator.refusal(ACLS)
        assert [master(lab, host, "vx24") for host in HOSTS] == ["userbr0", "userbr0"]
        assert [f"{host}: Incus would delete vx24 (vxlan)" in reason for host in HOSTS] == [True, True]

        operator.declare(vlan=vlan, extra_ports=["user0"])
        outputs = [operator.fix(f"NET-008@{host}/userbr0") for host in HOSTS]
        operator.fix(ACLS)
        assert [master(lab, host, "vx24") for host in HOSTS] == ["userbr0", "userbr0"]
        for output in reversed(outputs):
            operator.undo(output)
        assert [master(lab, host, "vx24") for host in HOSTS] == ["userbr0", "userbr0"]
        assert run(lab, "minisrv", "incus network get --target minisrv userbr0 bridge.external_interfaces") == "user0"


def test_acl_that_somebody_attached_survives_fix_and_undo(lab: Lab, operator: Operator):
    """One is attached before the fix, one between the fix and its undo. The undo takes out only the ACL of the fix."""
    rule = "egress action=allow protocol=tcp destination=192.0.2.7/32 destination_port=7"
    create = "".join(
        f"incus network acl create {name}; incus network acl rule add {name} {rule}; " for name in ("before", "between")
    )
    remove = "incus network set sigsrvbr0 security.acls=system-base; incus network acl delete before; incus network acl delete between"
    with made(lab, "sigsrv", f"{create} incus network set sigsrvbr0 security.acls=before", remove):
        output = operator.fix("ACL-001@cluster/sigsrvbr0")
        assert key(lab, "sigsrvbr0", "security.acls") == "before,system-base"
        run(lab, "sigsrv", "incus network set sigsrvbr0 security.acls=before,system-base,between")
        undone = operator.undo(output)
        assert key(lab, "sigsrvbr0", "security.acls") == "before,between"

    assert "security.acls: before,system-base,between -> before,between" in undone


def test_undo_leaves_a_default_action_that_somebody_changed_since(lab: Lab, operator: Operator):
    """Of the two keys, only the one that still has the value of the fix goes back. --force writes the other one too."""
    action = "security.acls.default.{}.action"
    with fault(lab, "acl-default-allow", "sigsrv"):
        output = operator.fix("ACL-003@cluster/sigsrvbr0")
        run(lab, "sigsrv", f"incus network set sigsrvbr0 {action.format('egress')}=drop")
        undone = operator.undo(output, kept=True)
        found = [key(lab, "sigsrvbr0", action.format(way)) for way in ("ingress", "egress")]

    assert found == ["allow", "drop"]
    assert "sigsrvbr0: security.acls.default.egress.action is drop, not reject as the fix left it" in undone


MOVED = (
    "incus network set userbr0 ipv4.address=172.25.0.1/16 ipv4.dhcp.ranges=172.25.1.1-172.25.1.200; "
    "incus config device override --project user-alice alice1 eth0 ipv4.address=172.25.0.50; "
    "incus restart -f --project restricted tenant1"
)
MOVED_BACK = (
    "incus config device remove --project user-alice alice1 eth0; "
    "incus network set userbr0 ipv4.address=172.24.0.1/16 ipv4.dhcp.ranges=; incus stop -f --project restricted tenant1 2>/dev/null; "
    "incus start --project restricted tenant1"
)
HAS_LEASE = "for i in $(seq 50); do incus list --all-projects -f csv -c n4 | grep -q '{}.*{}' && exit 0; sleep 0.2; done; exit 1"


def test_network_moves_only_where_no_guest_range_rule_or_forward_stays_behind(lab: Lab, operator: Operator):
    """Each of them is named. Without them, one request sets all keys, and every guest can start."""
    finding = "NET-007@cluster/userbr0"
    acl = "incus network acl create old; incus network acl rule add old ingress action=allow source=172.25.9.0/24"
    with made(lab, "sigsrv", MOVED, f"{MOVED_BACK}; {HAS_LEASE.format('tenant1', '172.24')}"):
        run(lab, "sigsrv", HAS_LEASE.format("tenant1", "172.25"))
        with made(lab, "sigsrv", acl, "incus network acl delete old"):
            reason = operator.refusal(finding)
        assert "ipv4.dhcp.ranges has 172.25.1.1-172.25.1.200, outside of 172.24.0.0/16" in reason
        assert "NIC eth0 of user-alice/alice1 has 172.25.0.50, outside of 172.24.0.0/16" in reason
        assert "restricted/tenant1 would be cut off until the DHCP lease is renewed" in reason
        assert "ACL default/old has rules for 172.25.9.0/24 of the old subnet" in reason

        run(
            lab,
            "sigsrv",
            "incus config device set --project user-alice alice1 eth0 ipv4.address=; incus network set userbr0 ipv4.dhcp.ranges=",
        )
        run(lab, "sigsrv", "incus stop -f --project restricted tenant1")
        forward = "incus network forward create userbr0 192.0.2.1 target_address=172.25.0.60"
        with made(lab, "sigsrv", forward, "incus network forward delete userbr0 192.0.2.1"):
            assert "these forwards send to its old subnet: 192.0.2.1" in operator.refusal(finding)
        assert key(lab, "userbr0", "ipv4.address") == "172.25.0.1/16"

        output = operator.fix(finding)
        assert key(lab, "userbr0", "ipv4.address") == "172.24.0.1/16"
        run(lab, "sigsrv", f"incus start --project restricted tenant1; {HAS_LEASE.format('tenant1', '172.24')}")
        run(lab, "sigsrv", "incus stop -f --project restricted tenant1")
        operator.undo(output)
        assert key(lab, "userbr0", "ipv4.address") == "172.25.0.1/16"


def test_new_mtu_of_a_link_is_said_to_end(lab: Lab, operator: Operator):
    """A link that is made again has its default MTU. The undo changes the link of its own host only."""
    with fault(lab, "mtu-small", "minisrv"):
        output = operator.fix("NET-007@minisrv/userbr0")
        operator.undo(output)
        assert [run(lab, host, "cat /sys/class/net/user0/mtu") for host in HOSTS] == ["1500", "1400"]

    assert "user0: this MTU ends when the link is made again" in output


def test_interface_in_another_bridge_is_not_taken_out_of_there(lab: Lab, operator: Operator):
    """A person decides which bridge is right."""
    unset = (
        "incus network unset --target minisrv sigsrvbr0 bridge.external_interfaces; ip link set sigsrv0 master userbr0"
    )
    back = (
        "ip link set sigsrv0 nomaster; incus network set --target minisrv sigsrvbr0 bridge.external_interfaces=sigsrv0"
    )
    with made(lab, "minisrv", unset, back):
        reason = operator.refusal("NET-008@minisrv/sigsrvbr0")
        assert master(lab, "minisrv", "sigsrv0") == "userbr0"

    assert "refused: sigsrv0 is in userbr0, and Incus would take it out of there" in reason


def test_undo_leaves_an_interface_in_the_bridge_that_it_was_in(lab: Lab, operator: Operator):
    """Incus detaches it; the undo attaches it again, with its settings as a port. Another interface that was added since stays named."""
    names = "incus network get --target minisrv incusbr0 bridge.external_interfaces"
    with fault(lab, "vlan-not-persisted", "minisrv"):
        run(lab, "minisrv", "bridge link set dev incus0 isolated on")
        output = operator.fix("NET-008@minisrv/incusbr0")
        assert "minisrv: incusbr0: bridge.external_interfaces: unset -> incus0" in output
        run(lab, "minisrv", "incus network set --target minisrv incusbr0 bridge.external_interfaces=incus0,later0")
        operator.undo(output)
        assert run(lab, "minisrv", names) == "later0"
        assert master(lab, "minisrv", "incus0") == "incusbr0"
        assert "isolated on" in run(lab, "minisrv", "bridge -d link show dev incus0")
        run(lab, "minisrv", "bridge link set dev incus0 isolated off")
        run(lab, "minisrv", "incus network unset --target minisrv incusbr0 bridge.external_interfaces")


def test_undo_leaves_an_interface_where_somebody_moved_it(lab: Lab, operator: Operator):
    """It stays in the other bridge, and the output says so."""
    with fault(lab, "vlan-not-persisted", "minisrv"):
        output = operator.fix("NET-008@minisrv/incusbr0")
        run(lab, "minisrv", "ip link set incus0 master userbr0")
        undone = operator.undo(output, kept=True)
        assert master(lab, "minisrv", "incus0") == "userbr0"
        run(lab, "minisrv", "ip link set incus0 master incusbr0")

    assert "incus0: it is in userbr0, not in incusbr0 as the fix left it" in undone


def test_network_of_an_evacuated_member_stays_down(lab: Lab, operator: Operator):
    """Somebody works on it. No fix of its networks runs, and no fix of the cluster runs on it."""
    with (
        fault(lab, "acl-detached", "sigsrv"),
        fault(lab, "project-loose", "sigsrv"),
        fault(lab, "member-evacuated", "minisrv"),
    ):
        reason = operator.refusal(ACLS)
        assert "minisrv is evacuated, and Incus would bring up userbr0 there" in reason
        assert "userbr0" not in run(lab, "minisrv", "ip -br link")
        planned = json.loads(operator.remediate("--all", "--plan", "--json", "--max", "99").stdout)
        of_cluster = {step["host"] for step in planned["steps"] if "@cluster/" in step["finding"]}

    assert of_cluster == {"sigsrv"}


def test_undo_of_a_network_that_is_gone_ends(lab: Lab, operator: Operator):
    """Nothing is left to undo, so nothing keeps later fixes from running."""
    create = (
        "incus network create lost0 --target sigsrv; incus network create lost0 --target minisrv; incus network create lost0 "
        "ipv4.address=none ipv6.address=none security.acls=system-base security.acls.default.egress.action=allow"
    )
    with made(lab, "sigsrv", create, "incus network delete lost0 2>/dev/null; true"):
        output = operator.fix("ACL-003@cluster/lost0")
        run(lab, "sigsrv", "incus network delete lost0")
        undone = operator.undo(output)

    assert "nothing left to undo: there is no network lost0 any more" in undone
