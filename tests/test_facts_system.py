"""Units of systemd, read from recorded output."""

from __future__ import annotations

import pytest

from sigsrv.collect.evidence import Answer, Evidence, Failure
from sigsrv.facts.system import SystemFacts, units
from sigsrv.model.errors import EvidenceError, FailureKind


def of(rc: int = 0, stdout: str = "", stderr: str = "", failure: Failure | None = None) -> SystemFacts:
    return SystemFacts(Evidence("sigsrv", 0.0, probes={"units": Answer("systemctl show", rc, stdout, stderr, failure)}))


@pytest.mark.parametrize("host", ["sigsrv", "minisrv"])
def test_the_recorded_service_is_active_and_no_target_wants_it(recorded, host):
    """What only other services pull in does not start at boot by itself."""
    unit = of(stdout=recorded(f"units/{host}.txt")).unit("incus.service")

    assert (unit.load, unit.active, unit.sub, unit.result) == ("loaded", "active", "running", "success")
    assert unit.wanted_by == {"lab-runbook-bridges.service", "incus-user.service"}
    assert not unit.starts_at_boot


def test_a_unit_that_was_not_asked_for_is_unknown(recorded):
    """Nothing is invented for a unit that the evidence lacks."""
    with pytest.raises(EvidenceError, match=r"did not ask for the unit incus\.socket") as caught:
        of(stdout=recorded("units/sigsrv.txt")).unit("incus.socket")

    assert caught.value.kind is FailureKind.ABSENT


@pytest.mark.parametrize("text", ["", "[]", "{}", "Id=incus.service\n", "LoadState=loaded\nActiveState=active\n"])
def test_unreadable_units_are_an_error(text):
    """Half a block never reads as a unit."""
    with pytest.raises(EvidenceError, match="systemctl show"):
        units(text)


def test_a_host_without_systemd_says_so():
    """systemctl's own word decides, with its exit status."""
    said = "System has not been booted with systemd as init system (PID 1). Can't operate."

    assert of(rc=1, stderr=said).has_systemd is False


@pytest.mark.parametrize(
    ("facts", "kind"),
    [
        (of(rc=1, stderr="Failed to connect to bus: Permission denied"), FailureKind.DENIED),
        (of(rc=1, stderr="something else"), FailureKind.GARBLED),
        (of(rc=124, failure=Failure(FailureKind.TIMEOUT, "no end in 5 s")), FailureKind.TIMEOUT),
        (of(rc=127, failure=Failure(FailureKind.MISSING, "no systemctl")), FailureKind.MISSING),
    ],
)
def test_any_other_failure_is_unknown_not_a_host_without_systemd(facts, kind):
    """A refusal, a time-out and a missing command never read as "no systemd here"."""
    with pytest.raises(EvidenceError) as caught:
        _ = facts.has_systemd

    assert caught.value.kind is kind
