"""The options of a scan."""

from __future__ import annotations

import math
from argparse import ArgumentTypeError
from dataclasses import dataclass

from sigsrv.judge import selecting
from sigsrv.judge.selecting import Filters

DEMO = "demo"
LONGEST_S = 86_400.0  # a day


def seconds(text: str) -> float:
    """Return the number of seconds of a command line option: more than 0, at most a day. Raises ArgumentTypeError for any other text."""
    try:
        found = float(text)
    except ValueError:
        found = math.nan
    if not 0 < found <= LONGEST_S:  # also for NaN
        raise ArgumentTypeError(f'"{text}" is not a number of seconds, more than 0 and at most {LONGEST_S:g}')
    return found


@dataclass(frozen=True)
class Options:
    """The options of a scan. None: use the setting of the site.

    hosts: comma-separated, each ``NAME``, ``ssh://[USER@]NAME[:PORT]`` or ``local://[NAME]``.
    connection: a testinfra connection, for hosts without a scheme.
    evidence: a folder of saved evidence, or ``demo`` for the shipped evidence.
    unverified: accept evidence that was changed after it was saved.
    save: a folder to save the evidence in.
    policies: folders of policies in addition to the shipped ones.
    filters: the part of the catalogue that the run contains.
    waivers: the waiver file.
    probe: also send frames between temporary namespaces on the hosts. Only this option changes anything on a host,
    and sigsrv removes the namespaces again.
    """

    hosts: str | None = None
    site: str | None = None
    connection: str | None = None
    ssh_config: str | None = None
    identity_file: str | None = None
    sudo: bool = False
    sudo_user: str | None = None
    timeout_s: float | None = None
    evidence: str | None = None
    unverified: bool = False
    save: str | None = None
    policies: tuple[str, ...] = ()
    filters: Filters = selecting.EVERYTHING
    waivers: str | None = None
    probe: bool = False
