"""The faults of the virtual machines, several at a time: each is found, and nothing else is.

A scan of emulated machines takes a minute. Faults that have nothing to do with each other are made together, so that one scan shows all of
them: the difference to the clean list must be theirs, no more and no less. ``--every-fault`` tries each alone.
"""

from __future__ import annotations

import pytest

from tests.e2e.conftest import Lab, named, state_of, verdicts
from tests.e2e.test_faults import CASES, difference

pytestmark = pytest.mark.lab("vm")

GROUPS = {
    "systemd, ZFS and VLANs": (
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
        "reboot-due-minisrv",
        "disk-full-sigsrv",
        "updates-pending-sigsrv",
        "bridge-unknown-minisrv",
    ),
    "damage, the clock and full disks": (
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
    "firewalls and links": (
        "vlan-down-minisrv",
        "vlan-not-persisted-minisrv",
        "network-foreign-sigsrv",
        "ruleset-flushed-minisrv",  # the last: a change of a network loads its rules anew
    ),
    "a lost disk and rules by hand": (
        "pool-lost-minisrv",
        "vlan-wrong-bridge-minisrv",
        "vlan-detached-sigsrv",
        "bridge-unfiltered-minisrv",
        "acl-by-hand-minisrv",
        "firewall-off-minisrv",
    ),
    "after a reboot": ("vlan-lost-minisrv", "apparmor-off-minisrv"),
}
BY_NAME = {str(case): case for case in CASES if "vm" in case.labs}


@pytest.fixture(scope="module")
def before(lab: Lab) -> list[dict]:
    """The state of the hosts that the last test left behind, and the first found: always the same."""
    run, evidences = lab.scan()
    assert difference(verdicts(run)) == {}
    return [state_of(evidences)]


@pytest.mark.parametrize("group", GROUPS.values(), ids=GROUPS.keys())
def test_faults_are_found_side_by_side_and_leave_nothing(lab, before, group):
    """Each finding of each fault, and no other. What one group leaves behind the next one finds, and the last test."""
    made = [BY_NAME[name] for name in group]
    wanted = {named(key): value for case in made for key, value in case.changes.items()}
    try:
        for case in made:
            lab.fault(case.fault, case.host)
        found = difference(verdicts(lab.scan()[0]))
    finally:
        for case in reversed(made):
            lab.fault(case.fault, case.host, heal=True)

    assert found == wanted


def test_all_healed_the_list_is_clean_and_the_hosts_are_as_they_were(lab, before):
    """After all of them: no verdict is another one, and nothing that lasts is different."""
    run, evidences = lab.scan()

    assert difference(verdicts(run)) == {}
    assert state_of(evidences) == before[0]


def test_each_fault_that_the_machines_alone_can_have_is_in_a_group():
    """And nothing is in two."""
    names = [name for group in GROUPS.values() for name in group]

    assert len(names) == len(set(names))
    assert {name for name, case in BY_NAME.items() if case.labs == ("vm",)} <= set(names)
