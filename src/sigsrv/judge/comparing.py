"""How a check compares the hosts with each other."""

from __future__ import annotations

from collections import Counter
from collections.abc import Hashable, Mapping
from typing import TypeVar

from sigsrv.facts.clusters import ClusterFacts
from sigsrv.judge.require import Require

T = TypeVar("T", bound=Hashable)


def compare(
    require: Require,
    facts: ClusterFacts,
    resource: str,
    values: Mapping[str, T],
    what: str,
    shown: Mapping[str, str] | None = None,
) -> None:
    """Record ``pass`` if all hosts have the same value, else ``fail`` on each host that differs from the majority.

    Without a majority, the cluster fails. values: by host; shown: what a finding shows of each value instead of the value itself.
    """
    counted = Counter(values.values()).most_common()
    expected = f"{what} on every host"
    most, times = counted[0]
    if len(counted) == 1:
        require(resource, True, expected=expected, observed="the same" if shown else most)
        return
    observed = "; ".join(f"{host}: {value}" for host, value in (shown or values).items())
    has_majority = times > counted[1][1]
    for host in [host for host, value in values.items() if value != most] if has_majority else [facts.name]:
        require(resource, False, expected=expected, observed=observed, host=host)
