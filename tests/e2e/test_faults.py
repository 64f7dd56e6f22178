"""Each fault of the lab: found exactly, put right and proven, or healed; and the hosts are as they were before."""

from __future__ import annotations

from dataclasses import dataclass, field

import pytest

from sigsrv import policy
from tests.e2e.conftest import Lab, clean, state_of, verdicts

pytestmark = pytest.mark.lab


@dataclass(frozen=True)
class Case:
    """A fault on a host: what it changes in the list, and what of that a remediation puts right."""

    fault: str
    host: str
    changes: dict[str, str]
    mended: list[str] = field(default_factory=list)
    leaves: list[list[str]] = field(default_factory=list)  # commands that take away what the remediation added for good

    def __str__(self) -> str:
        return f"{self.fault}-{self.host}"


ON_HOSTS = {each.id for each in policy.load().values() if each.on_hosts}
SERVICE = {"sigsrv": "svc-a", "minisrv": "svc-b"}
STOPPED = {"sigsrv": "stopped-a", "minisrv": "stopped-b"}


def privileged(fault: str, host: str, name: str) -> Case:
    finding = f"INST-001@{host}/default/{name}"
    return Case(fault, host, {finding: "fail"}, [finding])


CASES = [
    Case("vlan-detached", "minisrv", {"NET-001@minisrv/sigsrvbr0": "fail"}, ["NET-001@minisrv/sigsrvbr0"]),
    Case("vlan-detached", "sigsrv", {"NET-001@sigsrv/sigsrvbr0": "fail"}, ["NET-001@sigsrv/sigsrvbr0"]),
    Case("vlan-wrong-bridge", "minisrv", {"NET-001@minisrv/sigsrvbr0": "fail"}),
    privileged("privileged-instance", "sigsrv", SERVICE["sigsrv"]),
    privileged("privileged-pending", "minisrv", SERVICE["minisrv"]),
    privileged("privileged-one", "minisrv", SERVICE["minisrv"]),
    privileged("privileged-stopped", "sigsrv", STOPPED["sigsrv"]),
    Case(
        "privileged-profile",
        "minisrv",
        {"INST-001@sigsrv/default/svc-a": "fail", "INST-001@minisrv/default/svc-b": "fail"},
        ["INST-001@sigsrv/default/svc-a", "INST-001@minisrv/default/svc-b"],
        [["incus", "config", "unset", name, "security.privileged"] for name in ("svc-a", "svc-b")],
    ),
    Case("project-unrestricted", "sigsrv", {"PROJ-001@cluster/restricted": "fail"}, ["PROJ-001@cluster/restricted"]),
    Case("project-features", "minisrv", {"PROJ-002@cluster/user-bob": "fail"}),
    Case(
        "acl-detached",
        "sigsrv",
        {"ACL-001@cluster/userbr0": "fail", "ACL-003@cluster/userbr0": "not-applicable"},
        ["ACL-001@cluster/userbr0"],
    ),
    Case("acl-default-allow", "minisrv", {"ACL-003@cluster/sigsrvbr0": "fail"}, ["ACL-003@cluster/sigsrvbr0"]),
    Case("vlan-address", "minisrv", {"NET-003@minisrv/incusbr0": "fail"}, ["NET-003@minisrv/incusbr0"]),
    Case(  # the two ends of a veth pair: one is down, so the other has no carrier; setting up the one mends both
        "link-down",
        "minisrv",
        {"NET-005@minisrv/sigsrvbr0": "fail", "NET-005@sigsrv/sigsrvbr0": "fail"},
        ["NET-005@minisrv/sigsrvbr0"],
    ),
    Case(  # a network of a cluster is on all of its members
        "network-foreign",
        "sigsrv",
        {"NET-004@sigsrv/foreign0": "fail", "NET-004@minisrv/foreign0": "fail"},
    ),
    Case("acl-empty", "minisrv", {"ACL-002@cluster/default/mgmt-base": "fail"}),
    Case("pool-full", "minisrv", {"POOL-003@minisrv/nvme": "fail"}),
    Case("host-path", "sigsrv", {"INST-004@sigsrv/default/svc-a": "fail"}, ["INST-004@sigsrv/default/svc-a"]),
]


def difference(found: dict[str, str]) -> dict[str, str | None]:
    """What a list has otherwise than the reviewed one; None where a finding is gone."""
    wanted = clean()
    return {key: found.get(key) for key in found.keys() | wanted.keys() if found.get(key) != wanted.get(key)}


@pytest.fixture
def unchanged(lab: Lab):
    """The hosts are after the test as they were before it."""
    run, evidences = lab.scan()
    assert difference(verdicts(run)) == {}
    before = state_of(evidences)
    yield
    run, evidences = lab.scan()
    assert difference(verdicts(run)) == {}
    assert state_of(evidences) == before


@pytest.mark.parametrize("case", CASES, ids=str)
def test_a_fault_is_found_put_right_and_leaves_nothing(lab, unchanged, case):
    """The difference to the clean list is exactly the fault's; its remediation is verified, a second one has nothing to do."""
    lab.fault(case.fault, case.host)
    try:
        assert difference(verdicts(lab.scan()[0])) == case.changes

        for finding in case.mended:
            done = lab.command("sigsrv-remediate", finding, "--yes", "--site", str(lab.site))
            assert done.returncode == 0, done.stdout + done.stderr
            assert "verified" in done.stdout.splitlines()[-1]

            again = lab.command("sigsrv-remediate", finding, "--yes", "--site", str(lab.site))
            assert (again.returncode, "nothing is to be done" in again.stdout) == (0, True), again.stdout + again.stderr

        if case.mended:
            assert difference(verdicts(lab.scan()[0])) == {}
        for host in ("sigsrv", "minisrv"):
            assert lab.on(host, "sh", "-c", "ls -A /run/sigsrv 2>/dev/null || true") == ""
    finally:
        lab.fault(case.fault, case.host, heal=True)
    for command in case.leaves:
        lab.on(case.host, *command)


def test_a_link_without_a_carrier_is_not_set_up(lab, unchanged):
    """Where the other end is down no command on this host helps: the remediation refuses, and changes nothing."""
    lab.fault("link-down", "minisrv")
    try:
        before = lab.on("sigsrv", "ip", "-o", "link", "show", "dev", "sigsrv0")
        done = lab.command("sigsrv-remediate", "NET-005@sigsrv/sigsrvbr0", "--yes", "--site", str(lab.site))
        after = lab.on("sigsrv", "ip", "-o", "link", "show", "dev", "sigsrv0")
    finally:
        lab.fault("link-down", "minisrv", heal=True)

    assert done.returncode == 4, done.stdout + done.stderr
    assert "refused: sigsrv0 is up and has no carrier" in done.stderr
    assert after == before


def test_a_daemon_that_is_stopped_is_one_fault(lab, unchanged):
    """incusd killed: HOST-002 fails there; what it alone could tell is error because of it, the rest is judged."""
    root = "HOST-002@minisrv/minisrv"
    lab.fault("incusd-stopped", "minisrv")
    try:
        run, _ = lab.scan()
        changes = difference(verdicts(run))
        failing = [key for key, verdict in changes.items() if verdict == "fail"]
        because = {finding.id: finding.because for finding in run.findings}
    finally:
        lab.fault("incusd-stopped", "minisrv", heal=True)

    assert failing == [root]
    assert run.exit_code == 3
    assert changes["CLUS-001@cluster/minisrv"] == "not-applicable"
    assert changes["POOL-001@minisrv/minisrv"] == "error"
    following = {key: verdict for key, verdict in changes.items() if verdict not in (None, "fail")}
    assert {because[key] for key in following} == {root}
    assert {key: verdict for key, verdict in following.items() if key.startswith("INST-001")} == {
        f"INST-001@minisrv/{name}": "error"
        for name in ("default/stopped-b", "default/svc-b", "default/web", "restricted/tenant1", "user-alice/alice1")
    }


def test_an_sshd_that_is_stopped_is_an_error_there_alone(lab, unchanged):
    """No way to the host: HOST-001 error, one error for each other policy on it; the cluster is judged by the other."""
    lab.fault("sshd-stopped", "minisrv")
    try:
        run, _ = lab.scan()
    finally:
        lab.fault("sshd-stopped", "minisrv", heal=True)

    changes = difference(verdicts(run))
    assert {key: verdict for key, verdict in changes.items() if verdict is not None} == {
        f"{each}@minisrv/minisrv": "error" for each in ON_HOSTS
    }
    assert run.exit_code == 3
