"""Describes the hosts that a remediation works on: how to reach each one, and how to scan all of them again."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass

from sigsrv.collect.target import Target
from sigsrv.facts.hosts import HostFacts
from sigsrv.model.finding import Finding
from sigsrv.model.policy import Policy
from sigsrv.model.site import Site


@dataclass(frozen=True)
class Snapshot:
    """Holds the facts (by host) and the findings (of all policies) of all hosts at one time."""

    findings: tuple[Finding, ...]
    facts: Mapping[str, HostFacts]


@dataclass(frozen=True)
class Hosts:
    """Holds the selected hosts of a site. targets: by host name, in the order of the site file. policies: by id.

    scan: collects fresh facts from all hosts and evaluates all policies. It takes as long as a scan and changes
    nothing. proof: runs the site's own tests for at most that many seconds, and returns what does not pass, "" for nothing; None: there
    are none.
    """

    site: Site
    targets: Mapping[str, Target]
    policies: Mapping[str, Policy]
    scan: Callable[[], Snapshot]
    proof: Callable[[float], str] | None = None

    @property
    def first(self) -> str:
        """Return the name of the first host. A fix of the whole cluster runs there if no daemon is known to answer."""
        return next(iter(self.targets))
