"""Tests a cluster of three members: links with names of their own on each, and a bridge whose VLAN one of them lacks."""

from __future__ import annotations

import json
import re
from functools import partial

import pytest
import yaml

from tests.e2e.conftest import Lab, clean, state_of, verdicts
from tests.e2e.safety import leftovers, remediate
from tests.e2e.test_faults import difference, known_state, unchanged
from tests.e2e.test_init import failing, stable

pytestmark = pytest.mark.lab("hosts-3")

__all__ = ["known_state", "unchanged"]

MEMBERS = ("sigsrv", "minisrv", "twinsrv")
ACL = "ACL-001@cluster/userbr0"
ATTACHED = {  # the findings that change if the ACL of userbr0 is detached
    ACL: "fail",
    "ACL-004@cluster/default/user-isolate": None,
    "XHOST-003@cluster/userbr0": None,
    **{f"ACL-00{number}@cluster/userbr0": "not-applicable" for number in (3, 5, 6)},
    **{f"ACL-007@{host}/userbr0": "not-applicable" for host in MEMBERS},
}
VLAN = "NET-001@twinsrv/sigsrvbr0"


def filtering(lab: Lab) -> dict[str, int]:
    """Return how many chains of the ACL each member has in its kernel."""
    return {host: lab.on(host, "nft", "list", "ruleset").count("chain acl.userbr0") for host in MEMBERS}


def test_three_clean_members_have_the_reviewed_verdicts(lab, tmp_path):
    """No finding fails. The site file has the links of each host, and the VLAN of incusbr0 on two of them."""
    run, evidences = lab.scan()

    assert verdicts(run) == clean()
    assert set(evidences) == set(MEMBERS)
    found = verdicts(run)
    assert {found[f"NET-002@{host}/sigsrvbr0"] for host in MEMBERS} == {"pass"}  # by its own VLAN interface and parent
    assert {host: found[f"NET-001@{host}/incusbr0"] for host in MEMBERS} == {
        "sigsrv": "pass",
        "minisrv": "pass",
        "twinsrv": "not-applicable",
    }


def test_fix_of_an_acl_reaches_all_three_members_and_is_undone_on_them(lab, unchanged, tmp_path):
    """Incus makes the change on each member. The plan says so, and each kernel filters after it, and not after its undo."""
    command = partial(remediate, lab, tmp_path / "journal.sqlite")
    before = filtering(lab)
    assert all(before.values())
    lab.fault("acl-detached", "minisrv")
    try:
        assert difference(verdicts(lab.scan()[0])) == ATTACHED
        assert filtering(lab) == dict.fromkeys(MEMBERS, 0)

        planned = lab.command(*command(ACL, "--plan", "--json"))
        (step,) = json.loads(planned.stdout)["steps"]
        assert (step["finding"], planned.returncode) == (ACL, 0)
        assert filtering(lab) == dict.fromkeys(MEMBERS, 0)

        applied = lab.command(*command(ACL, "--yes"))
        assert applied.returncode == 0, applied.stdout + applied.stderr
        assert filtering(lab) == before
        assert difference(verdicts(lab.scan()[0])) == {}

        undone = lab.command(*command("--undo", applied.stdout.split()[-1], "--yes"))
        assert undone.returncode == 0, undone.stdout + undone.stderr
        assert filtering(lab) == dict.fromkeys(MEMBERS, 0)
        assert difference(verdicts(lab.scan()[0])) == ATTACHED
        assert [leftovers(lab, host) for host in MEMBERS] == ["", "", ""]
    finally:
        lab.fault("acl-detached", "minisrv", heal=True)


def test_fix_of_a_vlan_uses_the_name_that_its_interface_has_on_that_host(lab, unchanged, tmp_path):
    """vlan20 on twinsrv is what sigsrv0 is on the others. Only twinsrv is changed, and back."""
    command = partial(remediate, lab, tmp_path / "journal.sqlite")
    lab.fault("vlan-detached", "twinsrv")
    try:
        run, evidences = lab.scan()
        assert {key for key, verdict in difference(verdicts(run)).items() if verdict == "fail"} == {VLAN}
        was = state_of(evidences)

        applied = lab.command(*command(VLAN, "--yes"))
        assert applied.returncode == 0, applied.stdout + applied.stderr
        assert "master sigsrvbr0" in lab.on("twinsrv", "ip", "-o", "link", "show", "dev", "vlan20")
        assert difference(verdicts(lab.scan()[0])) == {}

        undone = lab.command(*command("--undo", applied.stdout.split()[-1], "--yes"))
        assert undone.returncode == 0, undone.stdout + undone.stderr
        assert state_of(lab.scan()[1]) == was
    finally:
        lab.fault("vlan-detached", "twinsrv", heal=True)


@pytest.mark.parametrize(("vlan", "parent"), [("25", "eno1"), ("24", "lo")], ids=["another VLAN", "another parent"])
def test_wrong_link_of_one_host_fails_on_that_host_only(lab, unchanged, vlan, parent):
    """The site file has the parent of each host. What is right on another host is wrong here."""

    def make(vlan: str, parent: str) -> None:
        lab.on(
            "twinsrv",
            "sh",
            "-ec",
            f"""
            ip link del vlan24
            ip link add vlan24 mtu 1500 type vxlan id {vlan} dev {parent} group 239.0.0.24 dstport 4789
            echo 1 >/proc/sys/net/ipv6/conf/vlan24/disable_ipv6
            ip link set vlan24 master userbr0 up
            """,
        )

    make(vlan, parent)
    try:
        found = difference(verdicts(lab.scan()[0]))
    finally:
        make("24", "eno1")

    assert {key for key, verdict in found.items() if verdict == "fail"} == {"NET-002@twinsrv/userbr0"}


def test_stopped_daemon_of_one_member_is_one_finding(lab, unchanged):
    """Two of three members have the majority, so the others answer. What only twinsrv could say is an error, never a pass."""
    lab.fault("incusd-stopped", "twinsrv")
    try:
        found = difference(verdicts(lab.scan()[0]))
    finally:
        lab.fault("incusd-stopped", "twinsrv", heal=True)

    assert [key for key, verdict in found.items() if verdict == "fail"] == ["HOST-002@twinsrv/twinsrv"]
    assert "pass" not in found.values()
    assert {key for key in found if "@sigsrv/" in key or "@minisrv/" in key} == {
        "CLUS-002@sigsrv/sigsrv",  # the versions of all members are compared
        "CLUS-002@minisrv/minisrv",
    }


def test_draft_says_what_differs_from_host_to_host(lab, tmp_path):
    """It has the parent of each VLAN interface, and its name on twinsrv. A scan with it finds what it marked."""
    path = tmp_path / "site.yaml"

    done = lab.command(
        "sigsrv", "init", "--hosts", ",".join(MEMBERS), "--ssh-config", str(lab.ssh_config), "--output", str(path)
    )

    assert done.returncode == 0, done.stderr
    text = path.read_text()
    marked = set(re.findall(r"fails already: (\S+): ", text))
    assert stable(marked) == stable(failing(path))
    vlans = {bridge["name"]: bridge["vlan"] for bridge in yaml.safe_load(text)["bridges"]}
    assert vlans["userbr0"] == {
        "interface": {"sigsrv": "user0", "minisrv": "user0", "twinsrv": "vlan24"},
        "id": 24,
        "kinds": ["vxlan"],
        "parent": {"sigsrv": "enp5s0", "minisrv": "enp3s0", "twinsrv": "eno1"},
    }
    assert "NET-001@twinsrv/incusbr0" in marked  # a person says whether that host lacks the VLAN on purpose
