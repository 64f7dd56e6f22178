"""Tests that no regular expression of the project can be made slow by what a host sends."""

from __future__ import annotations

from fnmatch import translate
from typing import Any

import pytest

from tests.bombs import Pattern, patterns, slow_bomb

# Patterns that are put together when the code runs, with what the code makes them of.
EXAMPLES: dict[str, tuple[str, Any]] = {
    "probes.py:parse": (
        "search",
        rb"^word begin id\n([A-Za-z0-9+/=\n]*)^word end id\n([A-Za-z0-9+/=\n]*)^word done id$",
    ),
    "accounts.py:listed_socket": (
        "fullmatch",
        r"s((?:[-r][-w][-xsStT]){3})([.+]?) +[0-9]+ (\S+) (\S+) .* /run/incus\-user/unix\.socket\n?",
    ),
    "running.py:run_probes": ("search", rb"^word done "),
    "site.py:_exempt_names": (
        "match",
        "|".join(map(translate, ("default/guest-*013", "team-0*/*", "web-?", "[a-c]*/*-[!x]*"))),
    ),
    "incus_keys.py:_patterns": ("fullmatch", r"volatile\.[^.]+\.last_state\.[^.]+\.name"),
    "rule_schema.py:_regex": ("search", "^[a-z]+$"),  # of a policy, whose author is trusted
}
# What read the answers of hosts before, and other classics. Each of them is found by another text.
SLOW = {
    "a row of df": ("fullmatch", r"(\S.*?) +(\S+) +(\d+|-) +(\d+|-) +(-?\d+|-) +(\d+|-) +(\d+|-) (/.*)"),
    "a kernel": ("fullmatch", r"(\d.*?)((?:-[a-z][^-]*)*)"),
    "the summary of apt": ("search", r"(?m)^(\d+) upgraded, (\d+) newly installed, .*\d+ not upgraded\.$"),
    "a package": ("fullmatch", r"Inst (\S+)(?: \[(\S+)\])? \((\S+)(?: (.+))? \[\S+\]\)(?: \[.*\])?"),
    "packages that are kept": ("search", r"(?m)^The following packages have been kept back:\n((?: +.*\n)+)"),
    "a table of zpool": ("search", r"(?m)^\s*NAME\s+STATE\s+READ\s+WRITE\s+CKSUM.*\n((?:[ \t]+\S.*\n)+)"),
    "a field of zpool": ("search", r"(?m)^\s*scan: (.*)$"),
    "pools": ("split", r"(?m)^\s*pool: "),
    "errors": ("findall", r"(?m)^\s{8,}\S"),
    "a socket": ("fullmatch", r"(?P<address>\*|\[[^\]]+\]|[^:\[\]]+)(?:%(?P<link>\S+))?:(?P<port>[0-9]+)"),
    "the end of a glob": ("search", r"[^*?\[\]]*\Z"),
    "a glob with three stars": ("fullmatch", r"a.*b.*c.*d"),
    "bytes": ("search", rb"\s+$"),
    "a repeat in a repeat": ("fullmatch", r"(a+)+b"),
}


def test_each_pattern_takes_time_in_proportion_to_the_text():
    """A line of a host must not hold up the scan of all hosts."""
    found = list(patterns(EXAMPLES))
    slow = {f"{each.where}: {each.text!r}: {bomb}" for each in found if (bomb := slow_bomb(each))}

    assert len(found) > 60
    assert slow == set()


@pytest.mark.parametrize("name", SLOW)
def test_a_slow_pattern_is_found(name):
    use, text = SLOW[name]

    assert slow_bomb(Pattern(name, text, 0, frozenset({use})))


def test_a_pattern_is_found_wherever_it_is_written():
    found = {each.where.partition(":")[0] for each in patterns(EXAMPLES)}

    assert {"checks/test_img.py", "src/sigsrv/facts/filesystems.py", "src/sigsrv/collect/redact.py"} <= found
    with pytest.raises(NameError, match=r"site\.py:_exempt_names: the pattern is made when the code runs"):
        list(patterns({key: text for key, text in EXAMPLES.items() if not key.startswith("site.py")}))
