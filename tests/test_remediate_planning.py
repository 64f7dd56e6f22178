"""Which findings are to be put right, and in which order."""

from __future__ import annotations

import dataclasses
import json
from datetime import UTC, datetime
from itertools import permutations

import pytest

from sigsrv.model.errors import UsageError
from sigsrv.model.finding import Finding, Severity, Verdict, Waiver
from sigsrv.model.fix import fix_for
from sigsrv.remediate.planning import FixPlan, FixRequest, Step, as_dict, is_policy, listed_in, ordered, triage_findings
from sigsrv.remediate.rescan import find
from tests.test_remediation import REMEDIATIONS, finding

WAIVER = Waiver("NET-001", "a", "waived", "Ada", "why", datetime(2027, 1, 1, tzinfo=UTC), None, "waivers.yaml:1")


def made(policy: str, verdict: Verdict = Verdict.FAIL, host: str = "a", resource: str = "r", **more) -> Finding:
    base = finding("attach-vlan", policy=policy, host=host, resource=resource)
    return dataclasses.replace(base, verdict=verdict, **more)


FINDINGS = [
    made("NET-001"),
    made("NET-001", Verdict.PASS, resource="fine"),
    made("NET-001", Verdict.WAIVED, resource="waived", waiver=WAIVER),
    made("NET-001", Verdict.ERROR, resource="dark"),
    made("NET-004", remediation=None),
    made("INST-001", severity=Severity.CRITICAL, host="b"),
    made("VOL-001", severity=Severity.LOW),
]


def chosen(request: FixRequest) -> dict[str, list[str]]:
    found = triage_findings(request, FINDINGS, lambda name: find(FINDINGS, name))
    return {
        key: [each if isinstance(each, str) else each.id for each in value]
        for key, value in vars(found).items()
        if value
    }


def test_all_is_whatever_fails_and_nobody_accepts():
    """What passes is not mentioned, what is not known is told, what is waived is left out."""
    assert chosen(FixRequest(all=True)) == {
        "scripted": ["NET-001@a/r", "INST-001@b/r", "VOL-001@a/r"],
        "by_hand": ["NET-004@a/r"],
        "unknown": ["NET-001@a/dark"],
        "waived": ["NET-001@a/waived"],
    }


def test_a_severity_is_that_one_and_worse():
    """Alone it means all of that severity."""
    assert chosen(FixRequest(severity=Severity.CRITICAL)) == {"scripted": ["INST-001@b/r"]}
    assert "VOL-001@a/r" not in chosen(FixRequest(severity=Severity.HIGH))["scripted"]
    assert chosen(FixRequest(severity=Severity.LOW)) == chosen(FixRequest(all=True))


def test_a_policy_is_all_its_findings():
    """What of it is right is told as well."""
    assert chosen(FixRequest(policies=("NET-001",))) == {
        "scripted": ["NET-001@a/r"],
        "right": ["NET-001@a/fine"],
        "unknown": ["NET-001@a/dark"],
        "waived": ["NET-001@a/waived"],
    }


def test_what_is_waived_is_put_right_only_where_it_is_named_itself():
    """Its policy, its severity or all do not name it."""
    assert chosen(FixRequest(findings=("NET-001@a/waived",))) == {"scripted": ["NET-001@a/waived"]}
    both = chosen(FixRequest(findings=("NET-001@a/waived",), policies=("NET-001",)))
    assert both["scripted"] == ["NET-001@a/waived", "NET-001@a/r"]


def test_a_file_names_what_failed_in_it():
    """What is right by now is dropped; what is no more is told."""
    listed = frozenset({"NET-001@a/r", "NET-001@a/fine", "NET-009@a/gone"})

    assert chosen(FixRequest(listed=listed)) == {
        "scripted": ["NET-001@a/r"],
        "right": ["NET-001@a/fine"],
        "gone": ["NET-009@a/gone"],
    }


def test_the_failures_of_a_run_are_read_and_nothing_else():
    """Not what passes or is waived in it; anything that is no run is wrong use."""
    rows = [{"id": each.id, "verdict": each.verdict.value} for each in FINDINGS]

    assert listed_in({"findings": rows}, "f") == {"NET-001@a/r", "NET-004@a/r", "INST-001@b/r", "VOL-001@a/r"}


@pytest.mark.parametrize(
    "document", [None, [], {}, "x", {"findings": None}, {"findings": [1]}, {"findings": [{"id": 1, "verdict": "fail"}]}]
)
def test_what_is_no_run_is_wrong_use(document):
    """The file is named, and what it should be."""
    with pytest.raises(UsageError, match="f: not the findings of a run"):
        listed_in(document, "f")


@pytest.mark.parametrize(
    ("word", "is_one"), [("NET-001", True), ("inst-12", True), ("nonsense", False), ("NET-001@a/b", False)]
)
def test_a_policys_id_is_told_from_a_findings(word, is_one):
    """A finding's has an @."""
    assert is_policy(word) is is_one


def steps(*rows: tuple[str, str, str]) -> list[Step]:
    """Steps of (remediation, policy, host)."""
    found = []
    for name, policy, host in rows:
        failing = finding(name, policy=policy, host=host)
        fix = fix_for(failing, REMEDIATIONS, "sigsrv")
        assert fix
        found.append(Step(failing, fix))
    return found


def test_what_carries_comes_before_what_is_carried():
    """Host before bridge, bridge before ACL, instance before project; whatever order they were named in."""
    rows = [
        ("start-incus", "HOST-002", "b"),
        ("set-server-config", "CLUS-003", "b"),
        ("scrub-pool", "POOL-005", "b"),
        ("attach-vlan", "NET-001", "b"),
        ("persist-vlan", "NET-008", "a"),
        ("attach-acls", "ACL-001", "a"),
        ("schedule-snapshots", "VOL-001", "a"),
        ("unpublish-image", "IMG-003", "a"),
        ("set-instance-config", "INST-001", "a"),
        ("restrict-project", "PROJ-001", "a"),
    ]
    wanted = [row[1] for row in rows]

    for shuffled in (rows[::-1], rows[5:] + rows[:5], rows[::2] + rows[1::2]):
        assert [step.finding.policy for step in ordered(steps(*shuffled), ["a", "b"])] == wanted


def test_one_host_goes_first_and_the_others_follow():
    """Of the hosts that get the same fix the site's first is the canary; a fix of one host alone needs none."""
    rows = [("attach-vlan", "NET-001", host) for host in ("c", "b", "a")] + [("raise-links", "NET-005", "b")]

    for some in permutations(rows):
        found = ordered(steps(*some), ["b", "a", "c"])
        assert [(step.fix.runs_on, step.canary) for step in found] == [
            ("b", True),
            ("a", False),
            ("c", False),
            ("b", False),
        ]


def test_two_fixes_of_one_thing_change_one_object():
    """What is counted is what changes, not how often."""
    rows = [("set-instance-config", "INST-001", "a"), ("set-instance-config", "INST-003", "a")]
    found = tuple(steps(*rows, ("attach-vlan", "NET-001", "b")))

    assert len(FixPlan((), triage_findings(FixRequest(), [], lambda _: None), found).objects) == 2


def test_what_follows_from_a_finding_that_is_put_right_is_not_unknown():
    """It can be told again once that is mended."""
    root = finding("attach-vlan", host="a")
    follows = made("NET-002", Verdict.ERROR, because=root.id)
    triage = triage_findings(FixRequest(all=True), [root, follows, FINDINGS[3]], lambda _: None)
    fix_plan = FixPlan((), triage, tuple(steps(("attach-vlan", "NET-001", "a"))))

    assert [each.id for each in fix_plan.unknown] == [FINDINGS[3].id]


def test_the_plan_for_machines_has_all_that_a_person_sees():
    """One entry for each step, with scripts and hash; and the lists of what is not for a script."""
    (step,) = steps(("attach-vlan", "NET-001", "a"))
    fix_plan = FixPlan((), triage_findings(FixRequest(all=True), FINDINGS, lambda _: None), (step,), ("no",))

    found = json.loads(json.dumps(as_dict(fix_plan, 60, {"network": "may cut the network"})))

    assert found["steps"][0] | {"script": "", "undo_script": "", "permanent": {}} == {
        "finding": "NET-001@a/br0",
        "title": "t",
        "severity": "high",
        "remediation": "attach-vlan",
        "does": "Attach the VLAN interface to its bridge",
        "host": "a",
        "changes": "bridge",
        "now": "",
        "then": "",
        "disruption": "network",
        "disrupts": f"may cut the network: {step.fix.disrupts}",
        "undone_by_host": {"within_s": 60, "by": "shell"},
        "canary": False,
        "undo": step.fix.undo_text,
        "script": "",
        "script_sha256": step.fix.sha256,
        "undo_script": "",
        "timeout_s": 20,
        "permanent": {},
    }
    assert found["steps"][0]["script"] == step.fix.script
    slow = dataclasses.replace(step, fix=dataclasses.replace(step.fix, disruption="none"))
    (other,) = as_dict(dataclasses.replace(fix_plan, steps=(slow,)), 60, {"none": "nothing"})["steps"]
    assert other["undone_by_host"]["within_s"] == 60 + step.fix.timeout_s
    assert found["refused"] == ["no"]
    assert found["by_hand"] == ["NET-004@a/r"]
    assert found["unknown"] == ["NET-001@a/dark"]
    assert found["waived"] == ["NET-001@a/waived"]
