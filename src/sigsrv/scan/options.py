"""What a user may say about a scan."""

from __future__ import annotations

from dataclasses import dataclass

from sigsrv.judge import selecting
from sigsrv.judge.selecting import Filters

DEMO = "demo"


@dataclass(frozen=True)
class Options:
    """What a user may say about a scan; None: what the site says. evidence: a folder, or ``demo`` for the shipped one.

    hosts: comma-separated, each ``NAME``, ``ssh://[USER@]NAME[:PORT]`` or ``local://[NAME]``; connection: as testinfra's, for those
    without a scheme. save: a folder to keep the evidence in. unverified: take evidence that was changed since it was saved.
    policies: folders beside the shipped one. wanted: the part of the catalogue that the run is to have. waivers: their file.
    probe: send frames between throw-away namespaces of the hosts, too; this alone changes something there, and takes it away.
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
