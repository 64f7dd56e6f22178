"""Tests the list of words that ``make check`` refuses."""

from __future__ import annotations

import pytest

from tests import plain_words


def test_each_line_of_the_list_is_an_expression_and_a_hint():
    """A line without a hint would not help the author."""
    words = plain_words.words()

    assert len(words) > 15
    assert all(hint.strip() for _, hint in words)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("one\nHe puts it right anew.", [(2, "puts it right"), (2, "anew")]),
        ("It is neither a file nor a folder.", []),
        ("It ends. Nor does it start.", [(1, ". Nor")]),
        ("The key `mends:` is now `fixes:`.", []),
    ],
)
def test_refused_words_are_found_with_their_line(text, expected):
    """Upper and lower case are the same."""
    assert sorted((line, word) for line, word, _ in plain_words.mistakes(text)) == sorted(expected)


def test_output_of_programs_and_names_of_others_are_not_checked():
    """sigsrv does not choose those words."""
    names = {str(path.relative_to(plain_words.ROOT)) for path in plain_words.files()}

    assert {"README.md", "policies/net/NET-001.yaml", "src/sigsrv/judge/require.py", "lab/lib/common.sh"} <= names
    assert not [name for name in names if name.startswith(("policies/controls/", "tests/evidence/"))]
