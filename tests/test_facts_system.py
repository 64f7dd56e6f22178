"""Tests the facts about systemd units with recorded output."""

from __future__ import annotations

import pytest

from sigsrv.collect.evidence import Answer, Evidence, Failure
from sigsrv.facts.system import SystemFacts, units
from sigsrv.model.errors import EvidenceError, FailureKind


def of(rc: int = 0, stdout: str = "", stderr: str = "", failure: Failure | None = None) -> SystemFacts:
    return SystemFacts(Evidence("sigsrv", 0.0, probes={"units": Answer("systemctl show", rc, stdout, stderr, failure)}))


@pytest.mark.parametrize("host", ["sigsrv", "minisrv"])
def test_the_recorded_service_is_active_and_no_target_wants_it(recorded, host):
    """A unit that only other services start does not start at boot."""
    unit = of(stdout=recorded(f"units/{host}.txt")).unit("incus.service")

    assert (unit.load, unit.active, unit.sub, unit.result) == ("loaded", "active", "running", "success")
    assert unit.wanted_by == {"lab-runbook-bridges.service", "incus-user.service"}
    assert not unit.starts_at_boot


def test_a_unit_that_is_not_in_the_evidence_is_an_error(recorded):
    """It has no default state."""
    with pytest.raises(EvidenceError, match=r"did not ask for the unit incus\.socket") as caught:
        of(stdout=recorded("units/sigsrv.txt")).unit("incus.socket")

    assert caught.value.kind is FailureKind.ABSENT


@pytest.mark.parametrize("text", ["", "[]", "{}", "Id=incus.service\n", "LoadState=loaded\nActiveState=active\n"])
def test_unreadable_units_are_an_error(text):
    """An incomplete block never reads as a unit."""
    with pytest.raises(EvidenceError, match="systemctl show"):
        units(text)


def test_incomplete_block_is_an_error_of_its_own_unit():
    """The other units can be read."""
    whole = (
        "Id=a.service\nLoadState=loaded\nActiveState=active\nSubState=running\nUnitFileState=static\nResult=success\n"
    )
    facts = of(stdout=f"{whole}\nId=b.socket\nLoadState=loaded\n")

    assert facts.unit("a.service").active == "active"
    with pytest.raises(EvidenceError, match="ActiveState"):
        facts.unit("b.socket")


@pytest.mark.parametrize("text", ["", "\n", "??=????\n", "Id=incus.service\n"])
def test_an_answer_without_units_does_not_show_systemd(text):
    """Exit status 0 alone is no proof: the output may be lost."""
    with pytest.raises(EvidenceError, match="systemctl show"):
        _ = of(stdout=text).has_systemd


def test_the_message_of_systemctl_means_a_host_without_systemd():
    """The exit status must be non-zero too."""
    message = "System has not been booted with systemd as init system (PID 1). Can't operate."

    assert of(rc=1, stderr=message).has_systemd is False


@pytest.mark.parametrize(
    ("facts", "kind"),
    [
        (of(rc=1, stderr="Failed to connect to bus: Permission denied"), FailureKind.DENIED),
        (of(rc=1, stderr="something else"), FailureKind.GARBLED),
        (of(rc=124, failure=Failure(FailureKind.TIMEOUT, "no end in 5 s")), FailureKind.TIMEOUT),
        (of(rc=127, failure=Failure(FailureKind.MISSING, "no systemctl")), FailureKind.MISSING),
    ],
)
def test_any_other_failure_is_an_error_not_a_host_without_systemd(facts, kind):
    """A denied, failed, timed out or missing command never reads as a host without systemd."""
    with pytest.raises(EvidenceError) as caught:
        _ = facts.has_systemd

    assert caught.value.kind is kind
