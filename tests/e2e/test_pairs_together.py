"""Tests the remediations on a lab in groups: one run fixes several findings, one run undoes them, and then the state is
as before.

Faults that do not affect each other are applied together, as in test_faults_together. ``--every-fault`` tests each
one alone.
"""

from __future__ import annotations

import pytest

from tests.e2e.cases import Group, alone
from tests.e2e.test_faults import known_state, unchanged
from tests.e2e.test_pairs import FIXABLE, fix_and_undo

pytestmark = pytest.mark.lab

__all__ = ["known_state", "unchanged"]

_TOGETHER = {
    "the server, accounts and projects": (
        "listen-anywhere-minisrv",
        "admin-user-minisrv",
        "incus-user-sigsrv",
        "debug-address-sigsrv",
        "offline-threshold-sigsrv",
        "member-manual-minisrv",
        "ssh-passwords-minisrv",
        "image-public-sigsrv",
        "privileged-pending-minisrv",
        "scrub-old-minisrv",
        "scrub-never-sigsrv",
        "project-unrestricted-sigsrv",
        "project-loose-sigsrv",
        "snapshots-lost-sigsrv",
        "snapshots-lost-volume-minisrv",
    ),
    "networks": (
        "tokens-forever-sigsrv",
        "project-any-network-minisrv",
        "acl-default-allow-minisrv",
        "mtu-small-minisrv",
        "network-services-sigsrv",
        "vlan-address-minisrv",
        "port-foreign-minisrv",
        "vlan-detached-minisrv",
    ),
    "links": (
        "acl-detached-sigsrv",
        "vlan-not-persisted-minisrv",
        "vlan-down-minisrv",
        "vlan-detached-sigsrv",
        "critical-stopped-sigsrv",
    ),
    "instances": (
        "privileged-instance-sigsrv",
        "privileged-one-minisrv",
        "nested-sigsrv",
        "raw-setting-minisrv",
        "host-path-sigsrv",
        "host-device-minisrv",
        "guest-api-minisrv",
        "idmap-pending-sigsrv",
        "intercepted-minisrv",
        "proxy-unlisted-minisrv",
        "unprotected-sigsrv",
    ),
    "profiles": (
        "privileged-stopped-sigsrv",
        "privileged-profile-minisrv",
        "host-device-profile-sigsrv",
        "unlimited-minisrv",
        "idmap-shared-minisrv",
    ),
}
BY_NAME = {str(case): case for case in FIXABLE}
_ALONE = (
    "vlan-detached-minisrv",
    "link-down-minisrv",
)  # in namespaces: the first is the smoke test, the second one has findings on both hosts
GROUPS = [
    *(Group(name, "vm", names) for name, names in _TOGETHER.items()),
    *(Group(name, "ns", (name,)) for name in _ALONE),
    *(
        Group(name, "ns", tuple(each for each in names if "ns" in BY_NAME[each].labs and each not in _ALONE))
        for name, names in _TOGETHER.items()
    ),
]
# A case that nobody has put into a group is a group of its own.
GROUPS += alone({kind: {name for name, case in BY_NAME.items() if kind in case.labs} for kind in ("ns", "vm")}, GROUPS)
SMOKE = {"vlan-detached-minisrv": pytest.mark.smoke}


@pytest.mark.parametrize("group", [pytest.param(each, marks=SMOKE.get(each.name, ())) for each in GROUPS], ids=str)
def test_one_run_fixes_a_group_and_another_undoes_it(lab, unchanged, tmp_path, group):
    """The plan has exactly the findings, each step is verified, nothing is left to do, and the undo restores the
    evidence.
    """

    fix_and_undo(lab, tmp_path, [BY_NAME[name] for name in group.names])


@pytest.mark.parametrize("kind", ["ns", "vm"])
def test_each_remediation_is_in_exactly_one_group(kind):
    """No remediation of a lab is missing or in two groups."""
    names = [name for group in GROUPS if group.lab == kind for name in group.names]

    assert sorted(names) == sorted(name for name, case in BY_NAME.items() if kind in case.labs)
