"""Checks of NET: the DNS zones, and who may transfer them."""

from sigsrv import ClusterFacts, Require, Site, policy
from sigsrv.facts.zones import NetworkZone
from sigsrv.judge.clauses import Clauses
from sigsrv.model.site import SiteZone


@policy("NET-009")
def test_dns_zones_and_their_peers_are_those_of_the_site_file(
    facts: ClusterFacts, site: Site, require: Require
) -> None:
    """Looks at the zones of all projects, and at the servers that may transfer each of them.

    A site file without ``zones`` says nothing about zones; with an empty list, there must be none.
    """
    if site.zones is None:
        require.not_applicable(reason="the site file says nothing about DNS zones (zones)")
        return
    require.if_nothing("there is no DNS zone, and the site file lists none")
    wanted = {each.resource: each for each in site.zones}
    listed = {each.resource: each for each in facts.incus.zones}
    for resource in sorted({*wanted, *listed}):
        with require.finding(resource, _expected(wanted.get(resource)), otherwise="as expected") as finding:
            if resource not in listed:
                finding.violated("there is no such zone")
            elif resource not in wanted:
                finding.violated(f"the site file does not list the zone; {_shown(listed[resource])}")
            else:
                _judge_peers(finding, listed[resource], wanted[resource])


def _expected(zone: SiteZone | None) -> str:
    if zone is None:
        return "a zone of the site file"
    return f"only these peers: {', '.join(f'{name} {address}' for name, address in zone.peers.items()) or 'none'}"


def _judge_peers(finding: Clauses, zone: NetworkZone, wanted: SiteZone) -> None:
    for name, address in sorted(zone.peers.items()):
        at = address or "any address"
        if name not in wanted.peers:
            finding.violated(f"{name} ({at}) may transfer the zone")
        else:
            finding.require(address == wanted.peers[name], f"{name} may transfer the zone from {at}")
    for name in sorted(wanted.peers.keys() - zone.peers.keys()):
        finding.violated(f"there is no peer {name}")


def _shown(zone: NetworkZone) -> str:
    return f"peers: {', '.join(f'{name} {address}' for name, address in sorted(zone.peers.items())) or 'none'}"
