"""Each fault of the lab: found exactly, and healed; and the hosts are as they were before. What a remediation mends is in test_pairs."""

from __future__ import annotations

import importlib
import pkgutil

import pytest

from sigsrv.model import policy
from tests.e2e import cases
from tests.e2e.conftest import Lab, clean, request, state_of, verdicts

pytestmark = pytest.mark.lab


ON_HOSTS = {each.id for each in policy.load().values() if each.on_hosts}
CASES = [
    case
    for module in pkgutil.iter_modules(cases.__path__)
    for case in importlib.import_module(f"{cases.__name__}.{module.name}").CASES
]


def difference(found: dict[str, str]) -> dict[str, str | None]:
    """What a list has otherwise than the reviewed one; None where a finding is gone."""
    wanted = clean()
    return {key: found.get(key) for key in found.keys() | wanted.keys() if found.get(key) != wanted.get(key)}


@pytest.fixture(scope="module")
def proven() -> list[dict]:
    """The state that the last test was proven to leave behind; none, where it was not."""
    return []


@pytest.fixture
def unchanged(lab: Lab, proven: list[dict]):
    """The hosts are after the test as they were before it: what one test leaves behind is what the next one finds."""

    def seen() -> dict:
        run, evidences = lab.scan()
        assert difference(verdicts(run)) == {}
        return state_of(evidences)

    before = proven.pop() if proven else seen()
    yield
    after = seen()
    assert after == before
    proven.append(after)


@pytest.mark.parametrize("case", [case for case in CASES if not case.mended], ids=str)
def test_a_fault_is_found_and_leaves_nothing(lab, unchanged, case):
    """The difference to the clean list is exactly the fault's."""
    lab.fault(case.fault, case.host)
    try:
        assert difference(verdicts(lab.scan()[0])) == {request(key): value for key, value in case.changes.items()}
    finally:
        lab.fault(case.fault, case.host, heal=True)


@pytest.mark.lab("ns")  # a VLAN interface whose other end is down has its carrier: the trunk's
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


@pytest.mark.parametrize("fault", ["incusd-stopped", pytest.param("incus-failed", marks=pytest.mark.lab("vm"))])
def test_a_daemon_that_is_stopped_is_one_fault(lab, unchanged, fault):
    """incusd killed, or its unit failed: HOST-002 fails there; what it alone could tell is error because of it, the rest is judged."""
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


def test_an_sshd_that_is_stopped_is_an_error_there_alone(lab, unchanged):
    """No way to the host: HOST-001 error, one error for each other policy on it, and for what compares it with the other."""
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
