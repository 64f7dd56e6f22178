"""Tests the controls that policies name, and the lists of controls that the frameworks publish."""

from __future__ import annotations

import json
import re
from dataclasses import replace

import pytest

from sigsrv.model import controls, data, policy

POLICIES = policy.load()
NIST, CIS = "nist-800-53r5", "cis-v8"


def _key(control: str) -> tuple[str, list[int]]:
    """Return the sort key of a control in the order of its framework: letters first, then each number."""
    return re.sub(r"[^A-Z]", "", control), [int(number) for number in re.findall(r"\d+", control)]


@pytest.mark.parametrize("policy_id", POLICIES)
def test_policy_names_only_published_controls(policy_id):
    """Each id in a shipped policy is in the list of its framework."""
    assert [controls.explain(*found) for found in controls.unknown(POLICIES[policy_id])] == []


@pytest.mark.parametrize(("framework", "count"), [(NIST, 1014), (CIS, 153)])
def test_list_is_complete_sorted_and_without_duplicates(framework, count):
    """It has as many ids as the framework publishes, in the order of the framework: SC-7, SC-7(3), SC-8, SC-10."""
    found = list(controls.published(framework))

    assert len(found) == count
    assert found == sorted(set(found), key=_key)


def test_nist_list_has_the_published_number_of_each_family():
    """Release 5.2.0 has 20 families, 300 controls and 714 enhancements."""
    found = controls.published(NIST)

    assert len({control[:2] for control in found}) == 20
    assert len([control for control in found if "(" not in control]) == 300
    assert {family: len([c for c in found if c.startswith(family)]) for family in ("AC-", "CM-", "SC-", "SI-")} == {
        "AC-": 131,
        "CM-": 56,
        "SC-": 139,
        "SI-": 102,
    }


def test_cis_list_has_the_published_number_of_each_control():
    """Version 8 has 18 controls, and their safeguards are numbered without gaps."""
    numbers = [5, 7, 14, 12, 6, 8, 7, 12, 7, 7, 5, 8, 11, 9, 7, 14, 9, 5]

    assert list(controls.published(CIS)) == [
        f"{control}.{safeguard}" for control, last in enumerate(numbers, 1) for safeguard in range(1, last + 1)
    ]


def test_withdrawn_controls_are_not_listed_but_their_successors_are():
    """NIST withdrew 24 controls and 158 enhancements. Their successors are in the list, except SR, which is a family."""
    found = controls.withdrawn(NIST)
    successors = {successor for named in found.values() for successor in named}

    assert (len(found), len([control for control in found if "(" not in control])) == (182, 24)
    assert list(found) == sorted(found, key=_key)
    assert not set(found) & set(controls.published(NIST))
    assert successors - set(controls.published(NIST)) == {"SR"}
    assert controls.withdrawn(CIS) == {}


@pytest.mark.parametrize("framework", [NIST, CIS])
def test_policy_schema_accepts_each_published_control(framework):
    """The pattern in the schema matches every published id."""
    schema = json.loads((data.folder("policies") / "schema" / "policy.schema.json").read_text())
    pattern = schema["properties"]["controls"]["properties"][framework]["items"]["pattern"]

    assert [control for control in controls.published(framework) if not re.search(pattern, control)] == []


@pytest.mark.parametrize(
    ("framework", "control", "says"),
    [
        (NIST, "AC-3(1)", "nist-800-53r5 withdrew AC-3(1): see AC-6"),
        (NIST, "AC-13", "nist-800-53r5 withdrew AC-13: see AC-2, AU-6"),
        (NIST, "SC-19", "nist-800-53r5 withdrew SC-19"),
        (NIST, "AC-26", "nist-800-53r5 has no control AC-26"),
        (NIST, "AC-06", "nist-800-53r5 has no control AC-06"),
        (CIS, "4.13", "cis-v8 has no control 4.13"),
    ],
)
def test_unpublished_control_is_reported(framework, control, says):
    """A withdrawn or unknown id is found among valid ones. The message names the successors."""
    named = {NIST: ("AC-6", "SC-7(5)"), CIS: ("4.1",)}
    found = replace(POLICIES["INST-001"], controls=named | {framework: (*named[framework], control)})

    assert controls.unknown(found) == [(framework, control)]
    assert controls.explain(framework, control) == says
