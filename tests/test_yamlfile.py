"""Tests how YAML files are read: only plain values, within limits, with a line for each error."""

from __future__ import annotations

import itertools
import time

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


BOMB = "a: &a [x,x,x,x,x,x,x,x,x]\n" + "".join(
    f"{name}: &{name} [{','.join([f'*{before}'] * 9)}]\n" for before, name in itertools.pairwise("abcdefgh")
)


@pytest.mark.parametrize(
    ("text", "line", "said"),
    [
        (BOMB, 6, "its aliases make more than 100,000 values of it"),
        (BOMB + "i: {<<: [*h, *h]}\n", 6, "its aliases make more than 100,000 values of it"),
        ("a: &a {b: 1}\n" + "c:\n" + "".join(f"  k{n}: *a\n" for n in range(40_000)), 3, "aliases make more than"),
        ("a: 1\nb: " + "[" * 3000 + "]" * 3000, 2, "nested more than 64 levels deep"),
        ("a: 1\nb: " + "[" * 1_000_000, 2, "nested more than 64 levels deep"),  # overflows the stack of libyaml
        ("{a: " * 3000 + "}" * 3000, 1, "nested more than 64 levels deep"),
        ("- " * 3000 + "x", 1, "nested more than 64 levels deep"),
        ("\n".join(" " * n + "a:" for n in range(300)), 65, "nested more than 64 levels deep"),
        ("a: &a0 [x]\n" + "".join(f"k{n}: &a{n + 1} [*a{n}]\n" for n in range(80)), 65, "nested more than 64 levels"),
        ("- x\n" * 100_001, 100_000, "more than 100,000 values"),
        ("a: 1\nb: !!timestamp x\n", 2, "the tag !!timestamp is not supported"),
        ("a: 1\nb: !!timestamp 2026-01-01\n", 2, "the tag !!timestamp is not supported"),
        ("a: !!python/object/apply:os.system [id]\n", 1, "the tag !!python/object/apply:os.system is not supported"),
        ("a: !!binary '='\n", 1, "the tag !!binary is not supported"),
        ("a: !!set {b, c}\n", 1, "the tag !!set is not supported"),
        ("a: !!omap [b: 1]\n", 1, "the tag !!omap is not supported"),
        ("a: !own b\n", 1, "the tag !own is not supported"),
        ("a: !!int x\n", 1, "'x' is not a value of !!int"),
        ("a: !!int ''\n", 1, "'' is not a value of !!int"),
        ("a: !!float x\n", 1, "'x' is not a value of !!float"),
        ("a: !!bool x\n", 1, "'x' is not a value of !!bool"),
        ("a: !!null x\n", 1, "'x' is not a value of !!null"),
        ("a: =\n", 1, "'=' has a meaning of its own in YAML"),
        ("a: <<\n", 1, "not YAML"),
        ("a: {<<: 5}\n", 1, "not YAML: expected a mapping"),
        ("a: 1\nb: .inf\n", 2, ".inf is not a number"),
        ("a: .nan\n", 1, ".nan is not a number"),
        ("a: 1.0e+999\n", 1, "1.0e+999 is not a number"),
        (f"a: {'9' * 5000}\n", 1, "is not a value of !!int"),
        (f"a: {'9' * 30}\n", 1, "is larger than 9223372036854775807"),
        (f"a: 0x{'f' * 5000}\n", 1, "is larger than 9223372036854775807"),
        ("a: 1\n\tb: 2\n", 2, "not YAML"),
        ("a: 1\na: 2\n", 2, "duplicate key 'a'"),
        ("1: a\n", 1, "the key '1' is not a string"),
        ("? [a]\n: b\n", 1, "a list or a mapping can't be a key"),
        ("a: &a [*a]\n", 1, "an alias refers to the node that contains it"),
        ("a: 1\nb: *none\n", 2, "not YAML: found undefined alias"),
        ("a: 1\nb: x\0y\n", 2, r"the character '\x00' is not allowed"),
        ("a: 1\nb: \x1b[31m\n", 2, r"the character '\x1b' is not allowed"),
        ("a: 1\n---\nb: 1\n", 3, "a second document"),
    ],
    ids=lambda value: value[:30] if isinstance(value, str) else "",
)
def test_text_that_is_no_plain_yaml_is_refused_with_its_line(tmp_path, text, line, said):
    """In less than two seconds of CPU time, before the values that aliases stand for are made."""
    path = tmp_path / "x.yaml"
    path.write_text(text)
    began = time.process_time()

    with pytest.raises(UsageError) as wrong:
        yamlfile.load(path)

    assert wrong.value.message.startswith(f"{path}:{line}: "), wrong.value.message[:200]
    assert said in wrong.value.message
    assert time.process_time() - began < 2


def test_plain_yaml_with_aliases_and_merges_is_read(tmp_path):
    """The limits leave room: aliases, merged mappings, 60 levels, a byte order mark."""
    deep = "[" * 60 + "]" * 60
    text = f"a: &a {{x: 1, y: 2.5}}\nb: {{<<: *a, y: ~}}\nc: [*a, *a]\nd: 2026-01-01\ne: {deep}\nf: !!str 5\n"
    (tmp_path / "x.yaml").write_bytes(text.encode("utf-8-sig"))

    found = yamlfile.load(tmp_path / "x.yaml").data

    assert {key: found[key] for key in "abcdf"} == {
        "a": {"x": 1, "y": 2.5},
        "b": {"x": 1, "y": None},
        "c": [{"x": 1, "y": 2.5}] * 2,
        "d": "2026-01-01",
        "f": "5",
    }


def test_a_wrong_value_of_100_000_characters_is_not_shown_whole(tmp_path):
    """The error has file, line and the beginning of the value."""
    (tmp_path / "x.yaml").write_text(f"version: 1\nname: {'x' * 100_000}\nhosts: {'y' * 100_000}\n")

    with pytest.raises(UsageError) as wrong:
        yamlfile.validate(yamlfile.load(tmp_path / "x.yaml"), yamlfile.schema("site"))

    assert wrong.value.message.startswith(f"{tmp_path}/x.yaml:3: hosts: 'yyy")
    assert len(wrong.value.message) < 300
