"""The settings of a host's sshd that decide who may log in with a password.

``sshd -T`` shows what applies to a connection that no Match block names, and to root. Which other connections a Match block names can't be
asked for one by one: users, groups, addresses, ports, and criteria of newer versions. So the Match blocks are read from the files.
Source: sshd(8), sshd_config(5), and the parser in OpenSSH's servconf.c.
"""

from __future__ import annotations

import posixpath
import re
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from fnmatch import fnmatchcase

from sigsrv.collect.probes import SSHD_FILE, SSHD_FOLDER
from sigsrv.facts.parsing import parsing, text

METHODS = "authenticationmethods"
_SETTINGS = (
    "permitrootlogin",
    "passwordauthentication",
    "kbdinteractiveauthentication",
    "permitemptypasswords",
    METHODS,
)
_ALIASES = {
    "challengeresponseauthentication": "kbdinteractiveauthentication",
    "skeyauthentication": "kbdinteractiveauthentication",
}
_LINE = re.compile(rf"({re.escape(SSHD_FILE)}|{re.escape(SSHD_FOLDER)}/.+?):(\d+):(.*)")
# A keyword may be in quotes, and an equals sign may stand between it and its value.
_STATEMENT = re.compile(r'\s*"?(?P<keyword>[A-Za-z0-9]+)"?(?:\s*=\s*|\s+)(?P<value>\S.*)')
_WORD = re.compile(r'"([^"]*)"|(\S+)')
# Source: match_test_missing_fatal in servconf.c
_NOT_GIVEN = re.compile(r"'Match (\w+)' in configuration but '\w+' not in connection test specification")
_MAX_DEPTH = 16  # OpenSSH includes no deeper


@dataclass(frozen=True)
class MatchBlock:
    """A Match block of sshd's configuration. It changes settings for some connections."""

    place: str
    """The file and the line, for example ``/etc/ssh/sshd_config:12``."""
    criteria: str
    """What follows the word Match, for example ``User backup Address 10.0.0.0/8``."""
    settings: Mapping[str, str]
    """The settings for passwords and root logins that the block contains, by sshd's keywords in lower case."""


def settings(document: str, host: str = "") -> Mapping[str, str]:
    """Return sshd's settings for passwords and root logins, by sshd's keywords in lower case. Versions print different cases.

    document: the output of ``sshd -T``. Raises EvidenceError if a keyword is missing. Only AuthenticationMethods may be: not set, it is
    ``any``.
    """
    with parsing("sshd -T", host):
        rows: dict[str, str] = {}
        for line in document.splitlines():
            key, _, value = line.partition(" ")
            rows.setdefault(key.lower(), value)
        rows.setdefault(METHODS, "any")
        return {key: text(rows[key], key) for key in _SETTINGS}


def lacks_criterion(stderr: str, blocks: Callable[[], Iterable[MatchBlock]]) -> bool:
    """Return whether sshd ended because it was not given a criterion of one of its Match blocks.

    False also if none of the blocks has that criterion: then sshd reads other files than sigsrv.
    """
    criterion = _NOT_GIVEN.search(stderr)
    return criterion is not None and any(criterion[1].lower() in block.criteria.lower().split() for block in blocks())


def match_blocks(document: str, host: str = "") -> tuple[MatchBlock, ...]:
    """Return the Match blocks that sshd reads, in its order.

    document: the lines of its files, without comments, as ``grep -Rn`` prints them: ``FILE:NUMBER:LINE``. Raises EvidenceError if it is
    malformed, or if sshd includes a file that is not in it.
    """
    with parsing("sshd_config", host):
        files: dict[str, list[tuple[str, str, str]]] = {}
        for line in document.splitlines():
            match = _LINE.fullmatch(line)
            if match is None:
                raise ValueError(f"{line[:60]!r} has no file and number")
            statements = files.setdefault(match[1], [])
            if found := _statement(match[3]):
                statements.append((f"{match[1]}:{match[2]}", *found))
        if SSHD_FILE not in files:
            raise ValueError(f"no line of {SSHD_FILE}")
        return tuple(_blocks(files, SSHD_FILE, None, 0))


def _statement(line: str) -> tuple[str, str] | None:
    """Return the keyword of a line in lower case, and its value; None for an empty line or a comment."""
    if not line.strip() or line.lstrip().startswith("#"):
        return None
    match = _STATEMENT.fullmatch(line.rstrip())
    if match is None:
        raise ValueError(f"{line[:60]!r} is not a keyword and a value")
    keyword = match["keyword"].lower()
    return _ALIASES.get(keyword, keyword), match["value"]


def _words(value: str) -> Iterator[str]:
    """Yield the words of a value, without their quotes and without a comment at the end."""
    for quoted, word in _WORD.findall(value):
        if word.startswith("#"):
            return
        yield word or quoted


def _blocks(
    files: Mapping[str, list[tuple[str, str, str]]], name: str, outside: str | None, depth: int
) -> Iterator[MatchBlock]:
    """Yield the Match blocks of a file and of the files that it includes. A block ends at the next one or with its file.

    outside: the criteria of the block that includes the file; None if no block does. Then the lines above its first Match are no block.
    """
    if depth > _MAX_DEPTH:
        raise ValueError(f"{name}: included more than {_MAX_DEPTH} deep")
    criteria, start, found = outside, f"{name}:1", dict[str, str]()
    for place, keyword, value in files[name]:
        if keyword == "match":
            if criteria is not None:
                yield MatchBlock(start, criteria, found)
            inner = " ".join(_words(value))
            criteria, start, found = f"{outside} {inner}" if outside else inner, place, {}
        elif keyword == "include":
            for pattern in _words(value):
                for included in _included(files, place, pattern):
                    yield from _blocks(files, included, criteria, depth + 1)
        elif keyword in _SETTINGS and criteria is not None:
            found.setdefault(keyword, " ".join(_words(value)))
    if criteria is not None:
        yield MatchBlock(start, criteria, found)


def _included(files: Mapping[str, object], place: str, pattern: str) -> list[str]:
    """Return the files that an Include names. Raises ValueError if it names files elsewhere."""
    folder, mask = posixpath.split(posixpath.join(posixpath.dirname(SSHD_FILE), pattern))
    if folder != SSHD_FOLDER:
        raise ValueError(f"{place} includes {pattern}, and sigsrv reads only {SSHD_FILE} and {SSHD_FOLDER}")
    names = ((posixpath.basename(each), each) for each in files if posixpath.dirname(each) == SSHD_FOLDER)
    return sorted(
        path for name, path in names if fnmatchcase(name, mask) and name.startswith(".") <= mask.startswith(".")
    )
