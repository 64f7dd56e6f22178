"""How a check compares the hosts with each other."""

from __future__ import annotations

from collections import Counter
from collections.abc import Hashable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from typing import Any

from sigsrv.facts.clusters import ClusterFacts
from sigsrv.judge.require import Require
from sigsrv.judge.site_resources import Reported
from sigsrv.model.errors import EvidenceError


class Comparison:
    """Compares one resource of several hosts in some aspects.

    An aspect that differs between two hosts is a failure, whatever could not be read of other aspects and hosts. The finding is on each
    host that differs from the majority. It is on the cluster if there is no majority, if a value is unknown, or if other findings
    report the cause.
    """

    def __init__(self, facts: ClusterFacts, resource: str, what: str) -> None:
        """facts: names the cluster. what: what must be the same on every host."""
        self._cluster = facts.name
        self._resource = resource
        self._expected = f"{what} on every host"
        self._values: dict[str, dict[str, Hashable]] = {}
        self._shown: dict[str, list[str]] = {}
        self._unknown: list[tuple[EvidenceError, str]] = []
        self._reported: list[Reported] = []

    @contextmanager
    def reading(self, on: str = "") -> Iterator[None]:
        """Turn an EvidenceError in the block into an unknown value. on: see ``Clauses.clause``."""
        try:
            yield
        except EvidenceError as cause:
            self._unknown.append((cause, on))

    def add(self, host: str, aspect: str, value: Hashable, shown: str | None = None) -> None:
        """Add the value of an aspect on a host. shown: what the finding shows instead of the value; empty if it shows nothing."""
        self._values.setdefault(host, {})[aspect] = value
        self._shown.setdefault(host, []).append(str(value) if shown is None else shown)

    def report(self, reported: Iterable[Reported]) -> None:
        """Add problems that other findings report: while they do, the comparison is ``not-applicable``."""
        self._reported += reported

    @property
    def is_reported(self) -> bool:
        """Return whether another finding reports a problem of a host."""
        return bool(self._reported)

    @property
    def differs(self) -> bool:
        """Return whether two hosts are known to differ."""
        aspects = {aspect for values in self._values.values() for aspect in values}
        known = ({values[aspect] for values in self._values.values() if aspect in values} for aspect in aspects)
        return any(len(values) > 1 for values in known)

    def record(
        self,
        require: Require,
        alone: str = "there are no two hosts to compare",
        fix: Mapping[str, Any] | None = None,
    ) -> None:
        """Record the findings. alone: why there is nothing to compare if fewer than two hosts have a value. fix: as in ``Clauses``."""
        shown = {host: "; ".join(text for text in texts if text) for host, texts in self._shown.items()}
        differing = "; ".join(f"{host}: {text}" for host, text in shown.items())
        for host in self._differing_hosts():
            with require.finding(self._resource, self._expected, host=host) as finding:
                for each in self._reported:
                    finding.reported_by(each.finding, each.reason)
                for cause, on in self._unknown:
                    with finding.clause(on):
                        raise cause
                if len(shown) < 2:
                    finding.nothing(alone)
                else:
                    finding.require(not self.differs, differing if self.differs else next(iter(shown.values())))
                    finding.fix.update(fix or {})

    def _differing_hosts(self) -> Iterable[str]:
        """Return the hosts that differ from the majority; the cluster if there is no majority, or none is certain."""
        if self._unknown or self._reported or not self.differs:
            return [self._cluster]
        rows: Mapping[str, Hashable] = {host: tuple(sorted(row.items())) for host, row in self._values.items()}
        counted = Counter(rows.values()).most_common()
        if len(counted) < 2 or counted[0][1] == counted[1][1]:
            return [self._cluster]
        return [host for host, row in rows.items() if row != counted[0][0]]
