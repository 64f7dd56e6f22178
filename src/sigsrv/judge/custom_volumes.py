"""The custom volumes of a cluster, for checks of more than one file."""

from __future__ import annotations

from collections.abc import Iterator

from sigsrv.facts.clusters import ClusterFacts
from sigsrv.facts.volumes import Volume
from sigsrv.judge.require import Require


def each_volume(facts: ClusterFacts, require: Require) -> Iterator[tuple[Volume, str]]:
    """Yield each custom volume with the name of its host, or of the cluster if all members share the pool.

    facts: The cluster or standalone host to look at.
    require: What the errors are recorded with: one for each pool whose volumes could not be read, and for each
        volume on a member that is no host of the site.

    Raises EvidenceError if the pools could not be listed.
    """
    for pool in facts.incus.pools:
        found: tuple[tuple[Volume, str], ...] = ()
        with require.about(pool.name):
            for volume, cause in facts.unlocated_volumes(pool.name):
                require.unknown(volume.resource, cause.reason)
            found = facts.volumes(pool.name)
        yield from found  # not in the block: an error of a volume is not one of its pool
