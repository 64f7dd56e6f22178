"""The remediations on a lab: several findings by one run, each step proven; undone by one run; then all is as it was.

Faults that have nothing to do with each other are made together, as in test_faults_together. ``--every-fault`` tries each alone.
"""

from __future__ import annotations

import pytest

from tests.e2e.cases import Group
from tests.e2e.test_faults import proven, unchanged
from tests.e2e.test_pairs import MENDED, put_right_and_undone

pytestmark = pytest.mark.lab

__all__ = ["proven", "unchanged"]

_TOGETHER = {
    "the server, accounts and projects": (
        "listen-anywhere-minisrv",
        "admin-user-minisrv",
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
BY_NAME = {str(case): case for case in MENDED}
_ALONE = (
    "vlan-detached-minisrv",
    "link-down-minisrv",
)  # in namespaces: the one is the smoke test's, the other shows on both hosts
GROUPS = [
    *(Group(name, "vm", names) for name, names in _TOGETHER.items()),
    *(Group(name, "ns", (name,)) for name in _ALONE),
    *(
        Group(name, "ns", tuple(each for each in names if "ns" in BY_NAME[each].labs and each not in _ALONE))
        for name, names in _TOGETHER.items()
    ),
]
SMOKE = {"vlan-detached-minisrv": pytest.mark.smoke}


@pytest.mark.parametrize("group", [pytest.param(each, marks=SMOKE.get(each.name, ())) for each in GROUPS], ids=str)
def test_several_findings_are_put_right_by_one_run_and_undone_by_another(lab, unchanged, tmp_path, group):
    """Found exactly, planned, applied, verified one by one, nothing left to do, undone: the evidence is equal. Healed: clean."""
    put_right_and_undone(lab, tmp_path, [BY_NAME[name] for name in group.names])


@pytest.mark.parametrize("kind", ["ns", "vm"])
def test_each_remediation_of_a_lab_is_in_one_group(kind):
    """None is forgotten, and none is in two."""
    names = [name for group in GROUPS if group.lab == kind for name in group.names]

    assert sorted(names) == sorted(name for name, case in BY_NAME.items() if kind in case.labs)
