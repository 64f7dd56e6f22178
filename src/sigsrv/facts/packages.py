"""The installed packages of Incus, and the order of Debian package versions.

Source: dpkg-query(1); deb-version(7).
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from itertools import zip_longest

from sigsrv.collect.evidence import Evidence
from sigsrv.facts.machine import MachineFacts
from sigsrv.facts.parsing import command_failed, parsing, probe
from sigsrv.facts.reading import guard
from sigsrv.model.errors import EvidenceError, FailureKind

_NOT_THERE = "no packages found matching"


def installed(document: str, host: str = "") -> Mapping[str, str]:
    """Return the version of each installed package, by name.

    document: the output of ``dpkg-query``: name, version and state, separated by tabs. Raises EvidenceError if a line is malformed.
    """
    with parsing("dpkg-query", host):
        found = {}
        for line in document.splitlines():
            name, version, state = line.split("\t")
            if len(state) < 2:
                raise ValueError(f"{name}: {state!r} is not a state of a package")
            if state[1] == "n" or state[1] == "c":  # not installed, or only its configuration is left
                continue
            if not version:
                raise ValueError(f"{name}: installed, but without a version")
            found[name] = version
        return found


def of_host(evidence: Evidence, machine: MachineFacts) -> Mapping[str, str]:
    """Return the packages of a host; empty on a host without dpkg.

    dpkg-query exits with 1 if it does not know one of the names; that package is not installed. With 0 it has a line for each name, so an
    empty answer comes only from a host without dpkg. Raises EvidenceError if that host runs Debian or a derivative: these have dpkg.
    """
    answer = probe(evidence, "packages")
    complaints = [line for line in answer.stderr.splitlines() if line.strip()]
    if answer.rc != 0 and not (answer.rc == 1 and complaints and all(_NOT_THERE in line for line in complaints)):
        raise command_failed(evidence.host, "packages", answer)
    if answer.rc == 0 and not answer.stdout:
        system = guard(lambda: machine.os)
        if system.is_any("debian"):
            reason = f"{evidence.host}: probe packages: an empty list, but {system.name} has dpkg-query, which prints each name"
            raise EvidenceError(reason, FailureKind.GARBLED, evidence.host)
    return installed(answer.stdout, evidence.host)


def is_older(version: str, than: str) -> bool:
    """Return whether a version of a Debian package is older than another one.

    >>> is_older("6.0.4-2~bpo12+1", "6.0.4-2"), is_older("6.0.10-1", "6.0.4-2")
    (True, False)
    """
    mine, other = _parts(version), _parts(than)
    for left, right in zip(mine, other, strict=True):
        if left != right:
            order = _compared(left, right)
            if order:
                return order < 0
    return False


def _parts(version: str) -> tuple[str, str, str]:
    """Split a version into epoch, upstream version and revision."""
    epoch, colon, rest = version.partition(":")
    if not colon:
        epoch, rest = "0", version
    upstream, dash, revision = rest.rpartition("-")
    return (epoch, upstream, revision) if dash else (epoch, rest, "0")


def _compared(left: str, right: str) -> int:
    """Return -1, 0 or 1. Compares words and numbers alternately.

    Within a word, ``~`` sorts before the end of the word, the end before letters, and letters before other characters.
    """
    pairs = zip_longest(_by_turns(left), _by_turns(right), fillvalue=("", ""))
    for (my_word, my_number), (other_word, other_number) in pairs:
        mine, other = _weights(my_word), _weights(other_word)
        length = max(len(mine), len(other))
        mine, other = mine + [0] * (length - len(mine)), other + [0] * (length - len(other))
        my_rank, other_rank = (mine, len(my_number), my_number), (other, len(other_number), other_number)
        if my_rank != other_rank:
            return -1 if my_rank < other_rank else 1
    return 0


def _by_turns(text: str) -> list[tuple[str, str]]:
    """Return the words, each with the number behind it, without leading zeros: then a longer number is a larger one."""
    return [(word, digits.lstrip("0")) for word, digits in re.findall(r"([^0-9]*)([0-9]*)", text) if word or digits]


def _weights(word: str) -> list[int]:
    return [-1 if sign == "~" else ord(sign) + (0 if sign.isalpha() else 256) for sign in word]
