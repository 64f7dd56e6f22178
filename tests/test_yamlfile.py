"""Tests that reading a part of a YAML file skips only its last key."""

from __future__ import annotations

import pytest

from sigsrv.model import yamlfile
from sigsrv.model.errors import UsageError


@pytest.mark.parametrize(
    ("text", "keys"),
    [
        ("a: 1\nexamples: {b: 2}\n", {"a"}),
        ("a: 1\nexamples:\n  b: 2\n\n# a comment\n  # another\n", {"a"}),
        ("a: 1\nexamples:\n  b: 2\nlast: 3\n", {"a", "examples", "last"}),  # the key after it must be read
        ("a: |\n  text\n  examples: no key\n", {"a"}),
        ("examples: {}\n", {"examples"}),  # no key before it
    ],
)
def test_only_the_last_key_is_skipped(tmp_path, text, keys):
    """All other keys of the file are read."""
    (tmp_path / "x.yaml").write_text(text)

    assert set(yamlfile.load(tmp_path / "x.yaml", before="examples:").data) == keys


def test_second_document_is_refused_if_one_is_expected(tmp_path):
    """Otherwise its content would be ignored."""
    (tmp_path / "x.yaml").write_text("a: 1\n---\nb: 2\n")

    with pytest.raises(UsageError, match=r"x\.yaml:3: a second document"):
        yamlfile.load(tmp_path / "x.yaml")
    assert [each.data for each in yamlfile.load_all(tmp_path / "x.yaml")] == [{"a": 1}, {"b": 2}]
