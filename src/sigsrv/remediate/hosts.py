"""Describes the hosts that a remediation works on: how to reach each one, and how to scan all of them again."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property

from sigsrv.collect.target import Target
from sigsrv.facts.hosts import HostFacts
from sigsrv.model.finding import Finding
from sigsrv.model.fix import Fix
from sigsrv.model.policy import Policy
from sigsrv.model.site import Site
from sigsrv.model.touches import Touch
from sigsrv.remediate.picture import Picture


@dataclass(frozen=True)
class Snapshot:
    """Holds the facts (by host) and the findings (of all policies) of all hosts at one time."""

    findings: tuple[Finding, ...]
    facts: Mapping[str, HostFacts]


def with_login(targets: Mapping[str, Target]) -> dict[str, Target]:
    """Return the hosts on which sigsrv logs in: all but those of which the site file names only the API."""
    return {name: target for name, target in targets.items() if not (target.api and target.api.only)}


@dataclass(frozen=True)
class Hosts:
    """Holds the selected hosts of a site. targets: by host name, in the order of the site file. policies: by id.

    scan: collects fresh facts from all hosts and evaluates all policies. It takes as long as a scan and changes
    nothing. look: takes a picture of each host, with the Incus objects that the touches name. It changes nothing either. proof: runs the
    site's own tests for at most that many seconds, and returns what does not pass, "" for nothing; None: there are none.
    """

    site: Site
    targets: Mapping[str, Target]
    policies: Mapping[str, Policy]
    scan: Callable[[], Snapshot]
    look: Callable[[Sequence[Touch]], Mapping[str, Picture]]
    proof: Callable[[float], str] | None = None

    @property
    def with_login(self) -> Mapping[str, Target]:
        """Return the hosts on which sigsrv logs in."""
        return with_login(self.targets)

    def reached(self, fix: Fix) -> tuple[str, ...]:
        """Return the hosts on which a fix takes effect, the one that runs it first."""
        if fix.reaches == "host":
            return (fix.runs_on,)
        return (fix.runs_on, *(name for name in self.with_login if name not in {fix.runs_on, *self._alone}))

    @cached_property
    def _alone(self) -> frozenset[str]:
        """Return the hosts whose daemon reports to be in no cluster: they may have another network or project of the same name."""
        pictures = self.look(()) if len(self.with_login) > 1 else {}
        return frozenset(
            name for name, each in pictures.items() if not each.member and not {"host", "server"} & set(each.unread)
        )

    @property
    def first(self) -> str:
        """Return the name of the first host. A fix of the whole cluster runs there if no daemon is known to answer."""
        return next(iter(self.targets))
