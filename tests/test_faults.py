"""Tests the faults of the lab: each policy has a fault that it reports, or a reason why the lab can't show it."""

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
    """Return the policies that report a fault, from the headers of the fault files."""
    heads = [re.findall(r"(?m)^# shows: (.+)$", path.read_text()) for path in FAULTS.glob("*.sh")]
    return {name.strip() for head in heads for line in head for name in line.split(",")}


def unshown() -> dict[str, str]:
    """Return the policies that no fault shows, with the reason."""
    return {path.stem: path.read_text().strip() for path in FAULTS.glob("unshown/*.txt")}


def test_each_policy_has_a_fault_or_a_reason():
    """No policy has both, and each reason is for an existing policy."""
    known = set(policy.load())

    missing = sorted(known - shown() - set(unshown()))
    assert missing == [], f"write lab/faults/unshown/{missing[0]}.txt: why no fault shows the policy"
    assert shown() | set(unshown()) == known
    assert shown() & set(unshown()) == set()


def test_fault_of_a_single_lab_names_that_lab():
    """Its header is ``# labs: ns`` or ``# labs: vm``. A fault of both labs needs no such line."""
    said = {path.name: re.findall(r"(?m)^# labs: (.+)$", path.read_text()) for path in FAULTS.glob("*.sh")}

    assert {name for name, labs in said.items() if labs not in ([], ["ns"], ["vm"])} == set()
    assert {"ns", "vm"} <= {lab for labs in said.values() for lab in labs}


def test_each_fault_has_a_case_or_a_test_on_a_possible_lab():
    """A fault without a test proves nothing. A case on a lab that can't have the fault would never run."""
    labs_by_fault = {}
    for module in pkgutil.iter_modules(cases.__path__):
        for case in importlib.import_module(f"{cases.__name__}.{module.name}").CASES:
            labs_by_fault.setdefault(case.fault, set()).update(case.labs)
    texts = "".join(path.read_text() for path in E2E.glob("test_*.py"))
    for path in FAULTS.glob("*.sh"):
        labs = set(re.findall(r"(?m)^# labs: (.+)$", path.read_text())) or {"ns", "vm"}
        tried = labs_by_fault.get(path.stem)
        assert tried or f'"{path.stem}"' in texts, f"no test for {path.stem}"
        assert tried is None or tried <= labs, f"{path.stem}: a case for {tried - labs}"


def test_each_reason_says_what_the_lab_lacks():
    """The reason is a sentence."""
    assert [line for line, why in unshown().items() if len(why) < 15] == []
