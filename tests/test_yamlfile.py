"""Reading a part of a YAML file: what stands before its last key, and nothing less."""

from __future__ import annotations

import pytest

from sigsrv.model import yamlfile
from sigsrv.model.errors import UsageError


@pytest.mark.parametrize(
    ("text", "keys"),
    [
        ("a: 1\nexamples: {b: 2}\n", {"a"}),
        ("a: 1\nexamples:\n  b: 2\n\n# a remark\n  # another\n", {"a"}),
        ("a: 1\nexamples:\n  b: 2\nlast: 3\n", {"a", "examples", "last"}),  # what stands after it must be read as well
        ("a: |\n  text\n  examples: no key\n", {"a"}),
        ("examples: {}\n", {"examples"}),  # nothing stands before it
    ],
)
def test_only_a_last_key_is_left_unread(tmp_path, text, keys):
    """Nothing that a file says beside it is lost."""
    (tmp_path / "x.yaml").write_text(text)

    assert set(yamlfile.load(tmp_path / "x.yaml", before="examples:").data) == keys


def test_a_second_document_is_refused_where_one_is_wanted(tmp_path):
    """It would be ignored, with all that it says."""
    (tmp_path / "x.yaml").write_text("a: 1\n---\nb: 2\n")

    with pytest.raises(UsageError, match=r"x\.yaml:3: a second document"):
        yamlfile.load(tmp_path / "x.yaml")
    assert [each.data for each in yamlfile.load_all(tmp_path / "x.yaml")] == [{"a": 1}, {"b": 2}]
