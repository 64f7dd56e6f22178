"""Tests where the fix of what a profile gives is made: on the profile for all that have it, or on the instance alone."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from tests.e2e import operator
from tests.e2e.conftest import Lab, verdicts
from tests.e2e.operator import clean_in_the_end, nothing_left, one_line
from tests.e2e.test_fixes_instances import Operator, faults, incus, instance, restarts

pytestmark = pytest.mark.lab

__all__ = ["clean_in_the_end", "nothing_left"]

FINDINGS = tuple(f"{policy}@sigsrv/default/svc-a" for policy in ("INST-001", "INST-003", "INST-005"))
FAULTS = ("privileged-profile", "raw-profile", "host-device-profile")


@pytest.fixture(name="operator")
def an_operator(lab: Lab, tmp_path: Path) -> operator.Operator:
    return Operator(lab, tmp_path)


def profile(lab: Lab) -> str:
    return incus(lab, "profile", "show", "svc").partition("\nused_by:")[0]


def own(lab: Lab, name: str) -> str:
    """Return the configuration of an instance itself, without Incus's notes."""
    return re.sub(r"\n  volatile\..*", "", incus(lab, "config", "show", name))


def has_device(lab: Lab, name: str) -> bool:
    return "hostzero" in incus(lab, "config", "show", name, "--expanded")


def test_profile_is_changed_for_all_that_have_it_and_only_the_named_one_restarts(lab: Lab, operator: Operator):
    """The plan names the others and what changes for them. One that sets a key itself keeps it. The undo gives the profile all back."""
    with faults(lab, "sigsrv", *FAULTS), instance(lab, "tmpa", "--profile", "svc", "-c", "security.privileged=false"):
        before, others = profile(lab), {name: own(lab, name) for name in ("svc-a", "svc-b", "tmpa")}
        plan = one_line(operator.remediate(*FINDINGS, "--at", "profile", "--plan"))
        assert "at the profile default/svc, which 3 instances have" in plan
        assert (
            "default/svc-b: security.privileged: true -> false, raw.lxc: lxc.apparmor.profile=unconfined -> (unset)"
            in plan
        )
        assert "default/tmpa: raw.lxc: lxc.apparmor.profile=unconfined -> (unset), device hostzero: gone" in plan
        assert "changes 4 objects on sigsrv and minisrv" in plan

        with restarts(lab) as found:
            run = operator.fix(*FINDINGS, "--at", "profile")
        assert found == ["svc-a"]
        assert all(word not in profile(lab) for word in ("raw.lxc", "hostzero", 'privileged: "true"'))
        assert {name: own(lab, name) for name in others} == others
        assert [has_device(lab, name) for name in others] == [False, False, False]
        now = verdicts(lab.scan()[0])
        assert {key: now[key] for key in FINDINGS} == dict.fromkeys(FINDINGS, "pass")

        with restarts(lab) as found:
            operator.undo(run)
        assert found == ["svc-a"]
        assert profile(lab) == before
        assert {name: own(lab, name) for name in others} == others


def test_instance_is_changed_alone_and_the_profile_stays(lab: Lab, operator: Operator):
    """That is the default; the plan says so, and names the other way. A device is masked, a key is overridden."""
    findings = (FINDINGS[0], FINDINGS[2])
    with faults(lab, "sigsrv", "privileged-profile", "host-device-profile"):
        before, other, mine = profile(lab), own(lab, "svc-b"), own(lab, "svc-a")
        plan = one_line(operator.remediate(*findings, "--plan"))
        assert "at the instance; profile default/svc gives it to 2 instances: --at profile changes it there" in plan

        run = operator.fix(*findings, "--at", "instance")
        assert (profile(lab), own(lab, "svc-b")) == (before, other)
        assert incus(lab, "config", "get", "svc-a", "security.privileged") == "false"
        assert "hostzero:\n    type: none" in own(lab, "svc-a")
        assert has_device(lab, "svc-b")

        operator.undo(run)
        assert (profile(lab), own(lab, "svc-b"), own(lab, "svc-a")) == (before, other, mine)


def test_key_that_somebody_set_on_the_profile_since_stays(lab: Lab, operator: Operator):
    """The undo names it and gives back the rest. With --force, it writes that too."""
    with faults(lab, "sigsrv", "privileged-profile", "host-device-profile"):
        before = profile(lab)
        run = operator.fix(FINDINGS[0], FINDINGS[2], "--at", "profile")
        incus(lab, "profile", "unset", "svc", "security.privileged")

        output = operator.undo(run, kept=True)
        assert "profile default/svc: security.privileged is unset, not false as the fix left it" in output
        assert "hostzero" in profile(lab)
        assert "privileged" not in profile(lab)

        done = operator.remediate("--undo", run, "--force", "--yes")
        assert done.returncode == 0, done.stdout + done.stderr
        assert profile(lab) == before


def test_what_the_instance_sets_itself_is_not_put_right_on_the_profile(lab: Lab, operator: Operator):
    """The profile has nothing to do with it: the fix is made on the instance, whatever --at says."""
    with faults(lab, "sigsrv", "nested"):
        plan = one_line(operator.remediate("INST-002@sigsrv/default/svc-a", "--at", "profile", "--plan"))

    assert "Set the keys on the instance itself" in plan
    assert "at the profile" not in plan
