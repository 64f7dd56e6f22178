"""Tests that the files derived from policies, checks and saved evidence are up to date. ``make record`` writes them."""

from __future__ import annotations

import json

import pytest

from tests import record

FILES = record.files()


@pytest.mark.parametrize("path", FILES, ids=lambda path: str(path.relative_to(record.ROOT)))
def test_derived_file_is_up_to_date(path):
    """No verdict and no generated page differs from what ``make record`` writes."""
    lines = record.changes(path, FILES[path])

    assert lines == [], "run make record, and review the difference"


@pytest.mark.parametrize("kind", record.LABS)
def test_clean_lab_complies(kind):
    """The labs have no fault, so no finding fails or is an error."""
    assert set(record.clean_verdicts(kind).values()) == {"pass", "not-applicable"}


def test_each_changed_verdict_is_a_line(tmp_path, monkeypatch):
    """A new, a changed and a removed finding each have a line for the review."""
    monkeypatch.setattr(record, "ROOT", tmp_path)
    path = tmp_path / "expected.json"
    path.write_text(json.dumps({"A-001@h/r": "pass", "A-002@h/r": "pass"}))

    assert record.changes(path, json.dumps({"A-001@h/r": "fail", "A-003@h/r": "error"})) == [
        "expected.json: A-001@h/r: pass -> fail",
        "expected.json: A-002@h/r: pass -> removed",
        "expected.json: A-003@h/r: missing -> error",
    ]


def test_a_changed_schema_is_one_line(tmp_path, monkeypatch):
    """Its parts are no verdicts, and longer than a screen."""
    monkeypatch.setattr(record, "ROOT", tmp_path)
    path = tmp_path / "policy.schema.json"
    path.write_text('{"title": "a"}')

    assert record.changes(path, '{"title": "b"}') == ["policy.schema.json: changed"]
