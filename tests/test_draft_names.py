"""Tests that no name from a host can break out of its place in a drafted site file."""

from __future__ import annotations

from typing import Any

import pytest
import yaml
from hypothesis import given, settings
from hypothesis import strategies as st

from sigsrv.draft.document import comment, scalar
from sigsrv.model.names import bad_character
from sigsrv.report.phrases import is_hidden
from tests.test_draft import Change, drafted, loaded, text_of

NAMES = [
    "a\n- evil: 1",
    "#",
    "'",
    '"',
    "!!python/object:os.system x",
    "&a *a",
    "{a: b}",
    "---",
    "yes",
    "1e3",
    "0o7",
    "a: b",
]
NAMES += [
    "\x1b[2J",
    "\u202e",
    "\u2028",
    "\x85",
    "\x00",
    "\ud800",
    "%YAML",
    "@",
    "`",
    "~",
    "- a",
    "? a",
    "a #b",
    "  ",
    "\ufeff",
    "*",
]
HOSTILE = st.text(max_size=40) | st.sampled_from(NAMES)


@given(HOSTILE)
def test_a_scalar_is_read_back_unchanged(text):
    """It takes one line, contains no hidden character, and YAML 1.1 readers get the same text."""
    written = scalar(text)

    assert written.isprintable()
    if not any("\ud800" <= each <= "\udfff" for each in text):
        for loader in {yaml.SafeLoader, getattr(yaml, "CSafeLoader", yaml.SafeLoader)}:
            assert yaml.load(f"[{written}, {{k: {written}}}]  # x", Loader=loader) == [text, {"k": text}]


@pytest.mark.parametrize(
    "text", ["1e3", "0o7", "0x1F", "1_000", "yes", "y", "NO", ".inf", "12:30", "2026-01-01", "6.0", "", "~"]
)
def test_a_text_that_a_reader_could_take_for_another_type_is_quoted(text):
    """YAML 1.1 and 1.2 have different rules for numbers and booleans."""
    assert scalar(text) == f'"{text}"'


@given(HOSTILE)
def test_a_comment_is_one_line(text):
    """It shows characters that control a terminal as escapes."""
    assert not any(is_hidden(each) for each in comment(text))
    assert comment(text).startswith("#")


KINDS = ("networks", "pools", "projects", "instances", "network_acls", "links", "devices")


def _named(kind: str, name: str) -> Change:
    """Return a change that renames a resource of a kind everywhere in the document."""
    was = {
        "networks": "userbr0",
        "pools": "iso",
        "projects": "user-john",
        "instances": "web",
        "network_acls": "system-base",
    }

    def change(content: dict[str, Any]) -> None:
        cluster = content["cluster"]
        if kind == "links":
            for host in ("sigsrv", "minisrv"):
                content[host]["links"][name] = content[host]["links"].pop("user0") | {"link": name}
        elif kind == "devices":
            devices = cluster["instances"]["web"]["expanded_devices"]
            devices["p"] = {"type": "proxy", "listen": name, "connect": name}
            devices["d"] = {"type": "disk", "source": f"/{name}"}
            devices["n"] = {"type": "nic", "network": name}
        else:
            rows = cluster[kind]
            rows[name] = rows.pop(was[kind])
            if kind == "instances":
                rows[name]["expanded_config"] = {"boot.autostart": "true"}

    return change


def _keeps_its_place(kind: str, name: str) -> None:
    document = drafted(_named(kind, name))
    text = text_of(document)

    assert yaml.safe_load(text) == document.data
    assert not any(is_hidden(each) for line in text.split("\n") for each in line)
    found = loaded(document)
    if name and not bad_character(name):
        assert kind != "network_acls" or name in {acl.name for acl in found.acls}
        assert kind != "pools" or name in {pool.name for pool in found.pools}
        assert kind != "projects" or found.project(name) is not None


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("name", NAMES)
def test_no_name_with_yaml_syntax_breaks_out_of_its_place(kind, name):
    """The file loads and contains exactly the drafted data. Values that a site file can't hold are commented out."""
    _keeps_its_place(kind, name)


@settings(deadline=None, max_examples=60)
@given(kind=st.sampled_from(KINDS), name=st.text(max_size=40))
def test_no_random_name_breaks_out_of_its_place(kind, name):
    """Hypothesis generates the names."""
    _keeps_its_place(kind, name)
