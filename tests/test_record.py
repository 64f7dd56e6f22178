"""The files that follow from policies, checks and saved evidence are up to date; ``make record`` writes them."""

from __future__ import annotations

import json

import pytest

from tests import record

FILES = record.files()


@pytest.mark.parametrize("path", FILES, ids=lambda path: str(path.relative_to(record.ROOT)))
def test_a_derived_file_is_as_make_record_writes_it(path):
    """Neither a verdict nor a generated page is out of date."""
    lines = record.changes(path, FILES[path])

    assert lines == [], "run make record, and review the difference"


@pytest.mark.parametrize("kind", ["ns", "vm"])
def test_a_clean_lab_complies(kind):
    """The labs have no fault, so no finding of their evidence fails or is unknown."""
    assert set(record.clean_verdicts(kind).values()) == {"pass", "not-applicable"}


def test_each_change_of_a_verdict_is_a_line(tmp_path, monkeypatch):
    """A new, a changed and a vanished finding each have a line that a person can review."""
    monkeypatch.setattr(record, "ROOT", tmp_path)
    path = tmp_path / "expected.json"
    path.write_text(json.dumps({"A-001@h/r": "pass", "A-002@h/r": "pass"}))

    assert record.changes(path, json.dumps({"A-001@h/r": "fail", "A-003@h/r": "error"})) == [
        "expected.json: A-001@h/r: pass -> fail",
        "expected.json: A-002@h/r: pass -> gone",
        "expected.json: A-003@h/r: not there -> error",
    ]
