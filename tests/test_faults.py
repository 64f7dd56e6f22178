"""Every policy is shown by a fault of the lab, or it is said why the lab can't show it."""

from __future__ import annotations

import importlib
import pkgutil
import re
from pathlib import Path

from sigsrv.model import policy
from tests.e2e import cases

E2E = Path(__file__).parent / "e2e"
FAULTS = Path(__file__).resolve().parents[1] / "lab" / "faults"


def shown() -> set[str]:
    """The policies that some fault shows, by the head of its file."""
    heads = [re.findall(r"(?m)^# shows: (.+)$", path.read_text()) for path in FAULTS.glob("*.sh")]
    return {name.strip() for head in heads for line in head for name in line.split(",")}


def unshown() -> dict[str, str]:
    """The policies that no fault shows, with the reason."""
    return {path.stem: path.read_text().strip() for path in FAULTS.glob("unshown/*.txt")}


def test_each_policy_has_a_fault_or_a_reason_why_none_shows_it():
    """Neither both nor none, and no reason for a policy that is not there."""
    known = set(policy.load())

    assert shown() | set(unshown()) == known
    assert shown() & set(unshown()) == set()


def test_a_fault_that_one_lab_alone_can_have_names_it():
    """Its head says ``# labs: ns`` or ``# labs: vm``; that both can have it need not be said."""
    said = {path.name: re.findall(r"(?m)^# labs: (.+)$", path.read_text()) for path in FAULTS.glob("*.sh")}

    assert {name for name, labs in said.items() if labs not in ([], ["ns"], ["vm"])} == set()
    assert {"ns", "vm"} <= {lab for labs in said.values() for lab in labs}


def test_each_fault_has_a_case_or_a_test_of_its_own_on_a_lab_that_can_have_it():
    """A fault that nobody tries is a claim; and a case on a lab that can't have its fault would never be run."""
    cases_of = {}
    for module in pkgutil.iter_modules(cases.__path__):
        for case in importlib.import_module(f"{cases.__name__}.{module.name}").CASES:
            cases_of.setdefault(case.fault, set()).update(case.labs)
    texts = "".join(path.read_text() for path in E2E.glob("test_*.py"))
    for path in FAULTS.glob("*.sh"):
        labs = set(re.findall(r"(?m)^# labs: (.+)$", path.read_text())) or {"ns", "vm"}
        tried = cases_of.get(path.stem)
        assert tried or f'"{path.stem}"' in texts, f"nothing tries {path.stem}"
        assert tried is None or tried <= labs, f"{path.stem}: a case for {tried - labs}"


def test_each_reason_says_what_the_lab_lacks():
    """The reason is a sentence."""
    assert [line for line, why in unshown().items() if len(why) < 15] == []
