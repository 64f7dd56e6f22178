"""Tests which findings are selected, and in which order they are fixed."""

from __future__ import annotations

import dataclasses
import json
from datetime import UTC, datetime
from itertools import permutations

import pytest

from sigsrv.model.errors import UsageError
from sigsrv.model.finding import Finding, Severity, Verdict, Waiver
from sigsrv.model.fix import fix_for
from sigsrv.remediate.effects import effects
from sigsrv.remediate.plan_json import as_dict
from sigsrv.remediate.planning import (
    FixPlan,
    FixRequest,
    Step,
    failing_ids,
    is_policy_id,
    order_steps,
    triage_findings,
)
from sigsrv.remediate.rescan import find
from tests.test_remediation import REMEDIATIONS, finding

WAIVER = Waiver("NET-001", "a", "waived", "Ada", "why", datetime(2027, 1, 1, tzinfo=UTC), None, "waivers.yaml:1")


def finding_of(policy: str, verdict: Verdict = Verdict.FAIL, host: str = "a", resource: str = "r", **more) -> Finding:
    base = finding("attach-vlan", policy=policy, host=host, resource=resource)
    return dataclasses.replace(base, verdict=verdict, **more)


FINDINGS = [
    finding_of("NET-001"),
    finding_of("NET-001", Verdict.PASS, resource="fine"),
    finding_of("NET-001", Verdict.WAIVED, resource="waived", waiver=WAIVER),
    finding_of("NET-001", Verdict.ERROR, resource="dark"),
    finding_of("NET-004", remediation=None),
    finding_of("INST-001", severity=Severity.CRITICAL, host="b"),
    finding_of("VOL-001", severity=Severity.LOW),
]


def triage_of(request: FixRequest) -> dict[str, list[str]]:
    found = triage_findings(request, FINDINGS, lambda name: find(FINDINGS, name))
    return {
        key: [each if isinstance(each, str) else each.id for each in value]
        for key, value in vars(found).items()
        if value
    }


def test_all_selects_failures_that_are_not_waived():
    """Passing findings are not mentioned, undetermined ones are reported, waived ones are skipped."""
    assert triage_of(FixRequest(all=True)) == {
        "scripted": ["NET-001@a/r", "INST-001@b/r", "VOL-001@a/r"],
        "by_hand": ["NET-004@a/r"],
        "unknown": ["NET-001@a/dark"],
        "waived": ["NET-001@a/waived"],
    }


def test_severity_selects_that_severity_and_higher_ones():
    """Without other arguments it selects all findings of these severities."""
    assert triage_of(FixRequest(severity=Severity.CRITICAL)) == {"scripted": ["INST-001@b/r"]}
    assert "VOL-001@a/r" not in triage_of(FixRequest(severity=Severity.HIGH))["scripted"]
    assert triage_of(FixRequest(severity=Severity.LOW)) == triage_of(FixRequest(all=True))


def test_policy_selects_all_its_findings():
    """Its passing findings are reported too."""
    assert triage_of(FixRequest(policies=("NET-001",))) == {
        "scripted": ["NET-001@a/r"],
        "passing": ["NET-001@a/fine"],
        "unknown": ["NET-001@a/dark"],
        "waived": ["NET-001@a/waived"],
    }


def test_waived_finding_is_selected_only_by_its_id():
    """Its policy, its severity or ``--all`` do not select it."""
    assert triage_of(FixRequest(findings=("NET-001@a/waived",))) == {"scripted": ["NET-001@a/waived"]}
    both = triage_of(FixRequest(findings=("NET-001@a/waived",), policies=("NET-001",)))
    assert both["scripted"] == ["NET-001@a/waived", "NET-001@a/r"]


def test_file_selects_the_failures_in_it():
    """A finding that passes now is dropped. A finding that no longer exists is reported."""
    listed = frozenset({"NET-001@a/r", "NET-001@a/fine", "NET-009@a/gone"})

    assert triage_of(FixRequest(listed=listed)) == {
        "scripted": ["NET-001@a/r"],
        "passing": ["NET-001@a/fine"],
        "missing": ["NET-009@a/gone"],
    }


def test_only_the_failures_of_a_findings_file_are_read():
    """Passing and waived findings are not read."""
    rows = [{"id": each.id, "verdict": each.verdict.value} for each in FINDINGS]

    assert failing_ids({"findings": rows}, "f") == {"NET-001@a/r", "NET-004@a/r", "INST-001@b/r", "VOL-001@a/r"}


@pytest.mark.parametrize(
    "document", [None, [], {}, "x", {"findings": None}, {"findings": [1]}, {"findings": [{"id": 1, "verdict": "fail"}]}]
)
def test_file_that_is_not_a_findings_file_is_a_usage_error(document):
    """The message names the file and the expected content."""
    with pytest.raises(UsageError, match="f: not the findings of a scan"):
        failing_ids(document, "f")


@pytest.mark.parametrize(
    ("word", "is_one"), [("NET-001", True), ("inst-12", True), ("nonsense", False), ("NET-001@a/b", False)]
)
def test_policy_id_differs_from_finding_id(word, is_one):
    """A finding's id has an @."""
    assert is_policy_id(word) is is_one


def steps(*rows: tuple[str, str, str]) -> list[Step]:
    """Return the steps for rows of (remediation, policy, host)."""
    found = []
    for name, policy, host in rows:
        failing = finding(name, policy=policy, host=host)
        fix = fix_for(failing, REMEDIATIONS, "sigsrv")
        assert fix
        found.append(Step(failing, fix))
    return found


def test_lower_layers_are_fixed_first():
    """Host before bridge, bridge before ACL, instance before project, in whatever order they were named."""
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
        assert [step.finding.policy for step in order_steps(steps(*shuffled), ["a", "b"])] == wanted


def test_first_host_of_the_site_is_the_canary():
    """Of the hosts with the same fix, the first one of the site file is the canary. A fix of one host needs none."""
    rows = [("attach-vlan", "NET-001", host) for host in ("c", "b", "a")] + [("raise-links", "NET-005", "b")]

    for some in permutations(rows):
        found = order_steps(steps(*some), ["b", "a", "c"])
        assert [(step.fix.runs_on, step.canary) for step in found] == [
            ("b", True),
            ("a", False),
            ("c", False),
            ("b", False),
        ]


def test_two_fixes_of_one_instance_change_one_object():
    """Changed objects are counted, not fixes."""
    rows = [("set-instance-config", "INST-001", "a"), ("set-instance-config", "INST-003", "a")]
    found = tuple(steps(*rows, ("attach-vlan", "NET-001", "b")))

    assert len(effects(found).objects) == 2


def test_consequence_of_a_fixed_root_finding_is_not_unknown():
    """It can be determined again after the fix."""
    root = finding("attach-vlan", host="a")
    follows = finding_of("NET-002", Verdict.ERROR, because=root.id)
    triage = triage_findings(FixRequest(all=True), [root, follows, FINDINGS[3]], lambda _: None)
    fix_plan = FixPlan((), triage, tuple(steps(("attach-vlan", "NET-001", "a"))))

    assert [each.id for each in fix_plan.unknown] == [FINDINGS[3].id]


def test_json_plan_has_all_that_the_text_plan_shows():
    """It has one entry for each step, with scripts and hash, and the lists of findings without a script."""
    (step,) = steps(("attach-vlan", "NET-001", "a"))
    fix_plan = FixPlan((), triage_findings(FixRequest(all=True), FINDINGS, lambda _: None), (step,), ("no",))

    found = json.loads(json.dumps(as_dict(fix_plan, 60, ("/site/test_guests.py",))))

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
        "reaches": ["a"],
        "declared": [
            {
                "kind": touch.kind,
                "name": touch.name,
                "key": touch.key,
                "now": None,
                "after": touch.after if touch.is_exact else None,
            }
            for touch in step.fix.touches
        ],
        "restarts": [],
        "disruption": "network",
        "disrupts": f"may cut the network of a: {step.fix.disrupts}",
        "undone_by_host": {"within_s": 60, "by": "shell"},
        "canary": False,
        "also": [],
        "undo": step.fix.undo_text,
        "script": "",
        "script_sha256": step.fix.sha256,
        "undo_script": "",
        "timeout_s": 20,
        "taken_back_by": ["the next boot of a, unless its configuration says the same"],
        "at": [],
        "permanent": {},
    }
    assert found["steps"][0]["script"] == step.fix.script
    slow = dataclasses.replace(step, fix=dataclasses.replace(step.fix, disruption="none"))
    (other,) = as_dict(dataclasses.replace(fix_plan, steps=(slow,)), 60)["steps"]
    assert other["undone_by_host"]["within_s"] == 60 + step.fix.timeout_s
    assert found["in_all"] == {"objects": 1, "hosts": ["a"], "restarts": [], "may_cut": ["a"], "services_on": []}
    assert found["verify_with"] == ["/site/test_guests.py"]
    assert found["refused"] == ["no"]
    assert found["by_hand"] == ["NET-004@a/r"]
    assert found["unknown"] == ["NET-001@a/dark"]
    assert found["waived"] == ["NET-001@a/waived"]


def test_plan_names_every_finding_of_a_step():
    """A script may fix several findings of one instance."""
    (step,) = steps(("attach-vlan", "NET-001", "a"))
    other = finding_of("NET-004")
    unknown = finding_of("NET-002", Verdict.ERROR, because=other.id)
    triage = triage_findings(FixRequest(all=True), [unknown], lambda _: None)
    fix_plan = FixPlan((), triage, (dataclasses.replace(step, also=(other,)),))

    found = as_dict(fix_plan, 60, {"network": ""})

    assert [each["finding"] for each in found["steps"][0]["also"]] == ["NET-004@a/r"]
    assert fix_plan.unknown == ()
