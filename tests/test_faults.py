"""Every policy is shown by a fault of the lab, or it is said why the lab can't show it."""

from __future__ import annotations

import re
from pathlib import Path

from sigsrv import policy

FAULTS = Path(__file__).resolve().parents[1] / "lab" / "faults"


def shown() -> set[str]:
    """The policies that some fault shows, by the head of its file."""
    heads = [re.findall(r"(?m)^# shows: (.+)$", path.read_text()) for path in FAULTS.glob("*.sh")]
    return {name.strip() for head in heads for line in head for name in line.split(",")}


def unshown() -> dict[str, str]:
    """The policies that no fault shows, with the reason."""
    lines = [line for path in FAULTS.glob("unshown/*.txt") for line in path.read_text().splitlines()]
    return dict(line.split("\t") for line in lines)


def test_each_policy_has_a_fault_or_a_reason_why_none_shows_it():
    """Neither both nor none, and no reason for a policy that is not there."""
    known = set(policy.load())

    assert shown() | set(unshown()) == known
    assert shown() & set(unshown()) == set()


def test_each_reason_says_what_the_lab_lacks():
    """A line is an id, a tab and a sentence."""
    assert [line for line, why in unshown().items() if len(why) < 15] == []
