"""Tests that the findings of one instance become one step: one script, one restart, one undo."""

from __future__ import annotations

import dataclasses
from typing import Any

import pytest

from sigsrv.model.finding import Finding
from sigsrv.model.fix import Fix, fix_for
from sigsrv.remediate.merging import merged_steps, step_of
from sigsrv.remediate.planning import Step
from tests.test_remediation import REMEDIATIONS, finding


def wants(
    policy: str, resource: str = "default/web", remediation: str = "set-instance-config", **values: Any
) -> Finding:
    """Return a failure of a policy on an instance. values: those of the script that differ from doing nothing."""
    project, _, name = resource.partition("/")
    fix = {"instance": name, "project": project, "set": [], "unset": [], "restart": False, "start": False, "refuse": ""}
    base = finding(remediation, {**fix, **values}, policy=policy, host="a", resource=resource)
    return dataclasses.replace(base, title=policy)


def fix(each: Finding) -> Fix | None:
    return fix_for(each, REMEDIATIONS, "a")


def ids(steps: list[Step]) -> list[list[str]]:
    return [[each.id for each in step.findings] for step in steps]


PRIVILEGED = wants("INST-001", set=["security.privileged=false"], restart=True)
RAW = wants("INST-003", unset=["raw.lxc"], restart=True)
LIMITS = wants("INST-006", set=["limits.cpu=2"])
STOPPED = wants("INST-013", set=["boot.autostart=true"], start=True)


def test_findings_of_one_instance_are_one_step_with_one_restart():
    """The script has all keys, and restarts once. The step names all findings, in the order of their ids."""
    (step,) = merged_steps([RAW, STOPPED, PRIVILEGED, LIMITS], fix)

    assert ids([step]) == [
        ["INST-001@a/default/web", "INST-003@a/default/web", "INST-006@a/default/web", "INST-013@a/default/web"]
    ]
    assert step.fix.findings == tuple(each.id for each in step.findings)
    for word in ("security.privileged", "raw.lxc", "limits.cpu", "boot.autostart"):
        assert word in step.fix.script
        assert word in step.fix.undo
    assert step.fix.script.count("\nrestart_once ''\n") == step.fix.script.count("\n    incus start ") == 1


def test_key_that_two_findings_set_to_one_value_is_set_once():
    """Both are fixed by it."""
    other = wants("OWN-001", set=["limits.cpu=2"])

    (step,) = merged_steps([LIMITS, other], fix)

    assert step.fix.script.count("limits.cpu") == fix(LIMITS).script.count("limits.cpu")


def test_key_that_is_set_twice_on_purpose_keeps_both_values():
    """Incus makes a new id map only when the key changes."""
    renew = wants("INST-007", set=["security.idmap.isolated=false", "security.idmap.isolated=true"], restart=True)

    (step,) = merged_steps([PRIVILEGED, renew], fix)

    assert (
        step.fix.script
        == fix(
            dataclasses.replace(PRIVILEGED, fix={**PRIVILEGED.fix, "set": [*PRIVILEGED.fix["set"], *renew.fix["set"]]})
        ).script
    )


@pytest.mark.parametrize(
    "other",
    [
        wants("OWN-001", set=["security.privileged=true"]),
        wants("OWN-001", unset=["security.privileged"]),
        wants("OWN-001", resource="default/db"),
        wants("OWN-001", resource="p/web"),
        dataclasses.replace(wants("OWN-001"), host="b"),
        wants("OWN-001", refuse="the virtual machine runs"),
        finding("restrict-project", policy="PROJ-001", host="a", resource="default"),
    ],
    ids=["another value", "unset", "another instance", "another project", "another host", "refused", "another fix"],
)
def test_findings_that_one_script_cannot_fix_stay_apart(other):
    """A refusal of one finding does not keep the others from being fixed."""
    assert ids(merged_steps([PRIVILEGED, other], fix)) == [[PRIVILEGED.id], [other.id]]


def test_reasons_of_refused_findings_are_joined():
    """All of them are shown at once, each once."""
    refused = [wants(f"INST-00{number}", refuse=f"reason {number % 2}") for number in (1, 2, 3)]

    (step,) = merged_steps(refused, fix)

    assert "refused='reason 1; reason 0'" in step.fix.script


def test_single_finding_keeps_its_own_script():
    """The journal and the plan of one finding are as without the others."""
    step = step_of([PRIVILEGED], fix)

    assert step
    assert (step.fix, step.also) == (fix(PRIVILEGED), ())


def test_finding_without_a_fix_has_no_step():
    """A finding that passes now, for example."""
    assert merged_steps([PRIVILEGED, RAW], lambda _: None) == []
