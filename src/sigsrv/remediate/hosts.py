"""The hosts that a remediation works on: how each is reached, and a way to look at all of them again."""

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
    """All hosts at one time. findings: of all policies; facts: by host."""

    findings: tuple[Finding, ...]
    facts: Mapping[str, HostFacts]


@dataclass(frozen=True)
class Hosts:
    """The hosts of a site that were selected. targets: by the host's name, in the order of the site; policies: by id.

    look: collects fresh facts from all of them and judges all policies; it takes as long as a scan, and changes nothing.
    """

    site: Site
    targets: Mapping[str, Target]
    policies: Mapping[str, Policy]
    scan: Callable[[], Snapshot]

    @property
    def first(self) -> str:
        """The name of the first host: where a fix of the whole cluster runs if no daemon is known to answer."""
        return next(iter(self.targets))
