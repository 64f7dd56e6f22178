"""Tests several faults of the lab at a time: each one is found, and nothing else.

Faults that do not affect each other are applied together, so one scan shows all of them. The difference to the clean
verdicts must be exactly theirs. ``--every-fault`` tests each one alone.
"""

from __future__ import annotations

import pytest

from tests.e2e.cases import Group, alone
from tests.e2e.conftest import verdicts, with_fingerprints
from tests.e2e.test_faults import CASES, difference, known_state, unchanged

pytestmark = pytest.mark.lab

__all__ = ["known_state", "unchanged"]

SMOKE = {"families": pytest.mark.smoke}
GROUPS = [
    Group(  # one fault of each family
        "families",
        "ns",
        (
            "acl-empty-minisrv",
            "certificate-weak-sigsrv",
            "warning-sigsrv",
            "updates-pending-sigsrv",
            "image-foreign-minisrv",
            "raw-profile-sigsrv",
            "bridge-address-sigsrv",
            "pool-config-sigsrv",
            "project-foreign-sigsrv",
            "backup-old-sigsrv",
            "acl-by-hand-minisrv",
        ),
    ),
    Group(
        "hosts, access and images",
        "ns",
        (
            "users-admitted-sigsrv",
            "certificate-unrestricted-sigsrv",
            "overloaded-minisrv",
            "disk-full-sigsrv",
            "lists-old-minisrv",
            "reboot-due-minisrv",
            "image-old-sigsrv",
            "acl-open-sigsrv",
            "network-foreign-sigsrv",
            "firewall-off-minisrv",
        ),
    ),
    Group(
        "instances, projects and volumes",
        "ns",
        (
            "nic-unfiltered-sigsrv",
            "project-features-minisrv",
            "project-unlimited-sigsrv",
            "restriction-bypassed-minisrv",
            "volume-unused-minisrv",
            "volume-unlimited-minisrv",
            "acl-shadowed-minisrv",
        ),
    ),
    Group(
        "links and pools",
        "ns",
        (
            "nic-unmanaged-minisrv",
            "nic-profile-sigsrv",
            "vlan-wrong-bridge-minisrv",
            "pool-full-minisrv",
            "volume-shared-minisrv",
        ),
    ),
    Group("a bridge without a filter", "ns", ("bridge-unfiltered-minisrv", "ruleset-flushed-minisrv")),
    Group("a member away", "ns", ("member-evacuated-minisrv",)),
    Group(
        "systemd, ZFS and VLANs",
        "vm",
        (
            "scrub-old-minisrv",
            "scrub-never-sigsrv",
            "vlan-wrong-id-minisrv",
            "vlan-address-minisrv",
            "mtu-small-minisrv",
            "zpool-degraded-minisrv",
            "zpool-full-minisrv",
            "zpool-checksums-sigsrv",
            "unit-failed-minisrv",
            "incus-disabled-minisrv",
            "ssh-passwords-minisrv",
            "admin-user-minisrv",
            "incus-user-sigsrv",
            "reboot-due-minisrv",
            "disk-full-sigsrv",
            "updates-pending-sigsrv",
            "bridge-unknown-minisrv",
        ),
    ),
    Group(
        "damage, the clock and full disks",
        "vm",
        (
            "clock-wrong-minisrv",
            "vlan-detached-minisrv",
            "port-foreign-minisrv",
            "zpool-errors-minisrv",
            "root-full-minisrv",
            "overloaded-minisrv",
            "lists-old-minisrv",
            "bridge-address-sigsrv",
            "network-services-sigsrv",
            "pool-config-sigsrv",
            "member-manual-minisrv",
        ),
    ),
    Group(
        "firewalls and links",
        "vm",
        (
            "vlan-down-minisrv",
            "vlan-not-persisted-minisrv",
            "network-foreign-sigsrv",
            "ruleset-flushed-minisrv",  # the last one, because a change of a network reloads its rules
        ),
    ),
    Group(
        "a lost disk and rules by hand",
        "vm",
        (
            "pool-lost-minisrv",
            "vlan-wrong-bridge-minisrv",
            "vlan-detached-sigsrv",
            "bridge-unfiltered-minisrv",
            "acl-by-hand-minisrv",
            "firewall-off-minisrv",
        ),
    ),
    Group("after a reboot", "vm", ("vlan-lost-minisrv", "apparmor-off-minisrv")),
]
BY_NAME = {str(case): case for case in CASES}


def needed(kind: str) -> set[str]:
    """Return the cases that this file must run on a lab.

    Namespaces: the faults that no remediation fixes (the others are in test_pairs_together). VMs: faults that only they support.
    """
    if kind == "vm":
        return {name for name, case in BY_NAME.items() if case.labs == ("vm",)}
    return {name for name, case in BY_NAME.items() if "ns" in case.labs and not case.fixed}


# A case that nobody has put into a group is a group of its own.
GROUPS += alone({kind: needed(kind) for kind in ("ns", "vm")}, GROUPS)


@pytest.mark.parametrize("group", [pytest.param(each, marks=SMOKE.get(each.name, ())) for each in GROUPS], ids=str)
def test_faults_of_a_group_are_found_and_heal(lab, unchanged, group):
    """The scan has each finding of each fault and no other.

    Healed, the verdicts are clean and the hosts are as before.
    """
    made = [BY_NAME[name] for name in group.names]
    wanted = {with_fingerprints(key): value for case in made for key, value in case.changes.items()}
    try:
        for case in made:
            lab.fault(case.fault, case.host)
        found = difference(verdicts(lab.scan()[0]))
    finally:
        for case in reversed(made):
            lab.fault(case.fault, case.host, heal=True)

    assert found == wanted


@pytest.mark.parametrize("kind", ["ns", "vm"])
def test_each_needed_fault_is_in_exactly_one_group(kind):
    """A lab that a case does not support never runs it."""
    names = [name for group in GROUPS if group.lab == kind for name in group.names]

    assert len(names) == len(set(names))
    assert needed(kind) <= set(names)
    assert all(kind in BY_NAME[name].labs for name in names)


def test_a_case_in_no_group_is_a_group_of_its_own():
    """Adding a fault edits no list."""
    groups = alone({"ns": {"a", "b"}, "vm": {"b"}}, [Group("some", "ns", ("a",))])

    assert groups == [Group("b", "ns", ("b",)), Group("b", "vm", ("b",))]
