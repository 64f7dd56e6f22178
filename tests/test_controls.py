"""The controls that policies name, held against what the frameworks publish."""

from __future__ import annotations

import json
import re
from dataclasses import replace

import pytest

from sigsrv.model import controls, data, policy

POLICIES = policy.load()
NIST, CIS = "nist-800-53r5", "cis-v8"


def _key(control: str) -> tuple[str, list[int]]:
    """The order in which a framework prints its ids: by letters, then by each number."""
    return re.sub(r"[^A-Z]", "", control), [int(number) for number in re.findall(r"\d+", control)]


@pytest.mark.parametrize("policy_id", POLICIES)
def test_a_policy_names_only_controls_that_are_published(policy_id):
    """Each id that a shipped policy names is in its framework's list."""
    assert [controls.explain(*found) for found in controls.unknown(POLICIES[policy_id])] == []


@pytest.mark.parametrize(("framework", "count"), [(NIST, 1014), (CIS, 153)])
def test_a_list_is_whole_sorted_and_names_nothing_twice(framework, count):
    """As many ids as the framework publishes, each once, in its own order: SC-7, SC-7(3), SC-8, SC-10."""
    found = list(controls.published(framework))

    assert len(found) == count
    assert found == sorted(set(found), key=_key)


def test_the_nist_list_has_the_published_number_of_each_family():
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


def test_the_cis_list_has_the_published_number_of_each_control():
    """Version 8 has 18 controls; their safeguards are numbered without a gap."""
    numbers = [5, 7, 14, 12, 6, 8, 7, 12, 7, 7, 5, 8, 11, 9, 7, 14, 9, 5]

    assert list(controls.published(CIS)) == [
        f"{control}.{safeguard}" for control, last in enumerate(numbers, 1) for safeguard in range(1, last + 1)
    ]


def test_withdrawn_controls_are_not_in_the_list_and_lead_into_it():
    """NIST withdrew 24 controls and 158 enhancements; what took their place is there (SR is a whole family)."""
    found = controls.withdrawn(NIST)
    successors = {successor for named in found.values() for successor in named}

    assert (len(found), len([control for control in found if "(" not in control])) == (182, 24)
    assert list(found) == sorted(found, key=_key)
    assert not set(found) & set(controls.published(NIST))
    assert successors - set(controls.published(NIST)) == {"SR"}
    assert controls.withdrawn(CIS) == {}


@pytest.mark.parametrize("framework", [NIST, CIS])
def test_an_id_of_a_list_is_one_that_a_policy_may_name(framework):
    """The schema's pattern admits every published id."""
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
def test_an_id_that_is_not_published_is_told(framework, control, says):
    """An id that was withdrawn, or never was, is found among good ones, and the sentence says what took its place."""
    named = {NIST: ("AC-6", "SC-7(5)"), CIS: ("4.1",)}
    found = replace(POLICIES["INST-001"], controls=named | {framework: (*named[framework], control)})

    assert controls.unknown(found) == [(framework, control)]
    assert controls.explain(framework, control) == says
