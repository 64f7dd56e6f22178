"""Tests that each fault of the lab is found exactly and can be healed, and that the hosts are then as before.

Faults that a remediation fixes are in test_pairs.
"""

from __future__ import annotations

import importlib
import pkgutil

import pytest

from sigsrv.model import policy
from tests.e2e import cases
from tests.e2e.conftest import Lab, clean, state_of, verdicts, with_fingerprints

pytestmark = pytest.mark.lab


ON_HOSTS = {each.id for each in policy.load().values() if each.on_hosts}
CASES = [
    case
    for module in pkgutil.iter_modules(cases.__path__)
    for case in importlib.import_module(f"{cases.__name__}.{module.name}").CASES
]


def difference(found: dict[str, str]) -> dict[str, str | None]:
    """Return the findings that differ from the reviewed verdicts; None for a missing finding."""
    wanted = clean()
    return {key: found.get(key) for key in found.keys() | wanted.keys() if found.get(key) != wanted.get(key)}


@pytest.fixture(scope="module")
def known_state() -> list[dict]:
    """Provide the state that the last test was verified to leave behind; empty if it was not verified."""
    return []


@pytest.fixture
def unchanged(lab: Lab, known_state: list[dict]):
    """Check that the hosts are the same after the test as before. The next test reuses that state."""

    def seen() -> dict:
        run, evidences = lab.scan()
        assert difference(verdicts(run)) == {}
        return state_of(evidences)

    before = known_state.pop() if known_state else seen()
    yield
    after = seen()
    assert after == before
    known_state.append(after)


@pytest.mark.parametrize("case", [case for case in CASES if not case.fixed], ids=str)
def test_fault_is_found_and_heals(lab, unchanged, case):
    """The difference to the clean verdicts is exactly that of the fault."""
    lab.fault(case.fault, case.host)
    try:
        assert difference(verdicts(lab.scan()[0])) == {
            with_fingerprints(key): value for key, value in case.changes.items()
        }
    finally:
        lab.fault(case.fault, case.host, heal=True)


@pytest.mark.lab("ns")  # in VMs, a VLAN interface has the carrier of the trunk, even if its other end is down
def test_link_without_a_carrier_is_refused(lab, unchanged):
    """No command on this host helps if the other end is down. The remediation refuses and changes nothing."""
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


@pytest.mark.parametrize("fault", ["incusd-stopped", pytest.param("incus-failed", marks=pytest.mark.lab("vm"))])
def test_stopped_daemon_is_one_root_finding(lab, unchanged, fault):
    """HOST-002 fails. Findings that need the daemon are errors because of it, and the rest is evaluated."""
    root = "HOST-002@minisrv/minisrv"
    lab.fault(fault, "minisrv")
    try:
        run, _ = lab.scan()
        changes = difference(verdicts(run))
        failing = [key for key, verdict in changes.items() if verdict == "fail"]
        because = {finding.id: finding.because for finding in run.findings}
    finally:
        lab.fault(fault, "minisrv", heal=True)

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


def test_stopped_sshd_is_an_error_of_that_host_only(lab, unchanged):
    """HOST-001 is an error, and so is each policy on that host and each comparison with it."""
    lab.fault("sshd-stopped", "minisrv")
    try:
        run, _ = lab.scan()
    finally:
        lab.fault("sshd-stopped", "minisrv", heal=True)

    root = "HOST-001@minisrv/minisrv"
    changes = {key: verdict for key, verdict in difference(verdicts(run)).items() if verdict is not None}
    because = {finding.id: finding.because for finding in run.findings}
    assert set(changes.values()) == {"error"}
    assert {key for key in changes if key.endswith("@minisrv/minisrv")} >= {
        f"{each}@minisrv/minisrv" for each in ON_HOSTS
    }
    assert {because[key] for key in changes} == {root, None}
    assert [key for key in changes if because[key] is None] == [root]
    assert run.exit_code == 3
