"""Tests the limits of the JSON that hosts send."""

from __future__ import annotations

import json

import pytest

from sigsrv.collect import documents


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("[" * 100_000, "nested more than 64 levels deep"),
        ("[" * 65 + "]" * 65, "nested more than 64 levels deep"),
        ('{"a":' * 65 + "1" + "}" * 65, "nested more than 64 levels deep"),
        ("[" + "9" * 5_000_000 + "]", "a number has more than 64 bits"),
        ("18446744073709551616", "a number has more than 64 bits"),
        ("-18446744073709551616", "a number has more than 64 bits"),
        ("1e400", "a number has more than 64 bits"),
        ("-1e400", "a number has more than 64 bits"),
        ("NaN", "NaN is not JSON"),
        ("[-Infinity]", "-Infinity is not JSON"),
        ("[" + "0," * 2_000_000 + "0]", "more than 2000000 values"),
        ("[" + "{}," * 600_000 + "{}]", "more than 2000000 values"),
        ("", "Expecting value"),
    ],
)
def test_what_no_host_writes_is_refused(text, words):
    """Each of these costs much more time or memory than its size, or breaks the arithmetic of a policy."""
    with pytest.raises(ValueError, match=words):
        documents.parsed(text)


@pytest.mark.parametrize("value", [[], {}, 18446744073709551615, -(2**63), 1.5e300, "[{,", None, True])
def test_other_documents_are_read_as_json_reads_them(value):
    """The limits are far above what Incus and the commands of Linux write."""
    text = json.dumps({"a": [value]})

    assert documents.parsed(text) == documents.decoded(text.encode()) == {"a": [value]}


def test_nesting_up_to_the_limit_is_read():
    """The limit itself is allowed."""
    assert documents.parsed("[" * 64 + "]" * 64)


@pytest.mark.parametrize(
    ("text", "value"),
    [
        (r'{"a\ud800": ["b\udfff", {"c": "\ud83d\ude00"}]}', {"a\ufffd": ["b\ufffd", {"c": "\U0001f600"}]}),
        (r'"\uDEAD"', "\ufffd"),
        (r'"\\ud800"', "\\ud800"),
        ('"\ud800"', "\ufffd"),
    ],
)
def test_half_a_character_becomes_the_replacement_character(text, value):
    """As in Go. A whole character of two halves stays."""
    assert documents.parsed(text) == value


def test_bytes_that_are_no_utf_8_are_refused():
    """Incus writes UTF-8. Python's parser would also accept UTF-16 and UTF-32."""
    for document in (b'"\xff"', '"a"'.encode("utf-16"), b'"\xed\xa0\x80"'):
        with pytest.raises(ValueError, match="utf-8"):
            documents.decoded(document)
