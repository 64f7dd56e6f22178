"""Checks of HOST: the firewall that filters the traffic to a host."""

from collections.abc import Iterator
from typing import Literal

from sigsrv import HostFacts, Require, Site, policy
from sigsrv.facts.firewall import Chain, Ruleset
from sigsrv.facts.resources import Network
from sigsrv.judge.restarting import restart_fix
from sigsrv.model.errors import EvidenceError, FailureKind

_FILTERED_BY = {
    "IPv4": ("inet", "ip"),
    "IPv6": ("inet", "ip6"),
}  # the nftables families that filter a family of addresses
_INCUS = "incus"  # the nftables table of Incus
_REFUSING = ("drop", "reject")
_MAX_JUMPS = 16  # the kernel allows no more
_SHOWN_SOCKETS = 8

Decision = Literal["refused", "accepted"] | None


@policy("HOST-004")
def test_host_has_a_firewall_and_incus_s_firewall_rules_are_loaded(
    facts: HostFacts, site: Site, require: Require
) -> None:
    """Looks at the nftables rules that are loaded in the kernel.

    A chain of type filter on the hook input, outside of the table of Incus, must refuse what no rule accepts: Incus's own chains accept by
    default. The chains that Incus creates for each managed bridge must be loaded.
    """
    expected = (
        "a chain on the hook input refuses what no rule accepts, and the chains of each managed bridge are loaded"
    )
    with require.finding(facts.name, expected) as finding:
        driver = facts.incus.server.firewall
        if driver != "nftables":
            used = f"Incus uses the firewall driver {driver}" if driver else "Incus reports no firewall driver"
            reason = f"{facts.name}: {used}, and sigsrv reads only nftables"
            raise EvidenceError(reason, FailureKind.ABSENT, facts.name)
        rules = facts.firewall.rules
        inputs = [chain for chain in rules.filters("input") if chain.table != _INCUS]
        open_to = []
        for family, nft_families in _FILTERED_BY.items():
            with finding.clause():
                if family == "IPv6" and not _has_ipv6(facts):
                    continue
                refusing = [each for each in inputs if each.family in nft_families and _refuses(rules, each, family)]
                for chain in refusing:
                    finding.holds(f"{chain.family} {chain.table} {chain.name} refuses the rest")
                if not refusing:
                    open_to.append(family)
        if open_to:
            finding.violated(f"no chain refuses incoming {' and '.join(open_to)}")
            with finding.clause():
                finding.note = _open_sockets(facts)
        for network in facts.incus.networks:
            with finding.clause():
                missing = [name for name in _chains_of(facts, site, network) if not rules.chain("inet", _INCUS, name)]
                if missing:
                    finding.violated(f"not in table {_INCUS}: {', '.join(missing)}")
        if finding.is_violated:
            families = " and ".join(open_to)
            refuse = f"set up the host's own firewall at its console: no chain refuses incoming {families}"
            finding.fix.update(restart_fix(facts, refuse if open_to else ""))


def _has_ipv6(facts: HostFacts) -> bool:
    own = [address.ip for addresses in facts.network.addresses.values() for address in addresses]
    return any(ip.version == 6 and not ip.is_loopback for ip in own)


def _refuses(rules: Ruleset, chain: Chain, family: str) -> bool:
    """Return whether a base chain refuses what no rule accepts: by a rule for all packets of a family, else by its policy."""
    decision = _decision(rules, chain, family)
    return decision == "refused" or (decision is None and chain.policy == "drop")


def _decision(rules: Ruleset, chain: Chain, family: str) -> Decision:
    """Return what a chain decides about a packet that starts a connection and matches only rules for all packets.

    None: the chain decides nothing.
    """
    return _decided(rules, chain, family, 0, {})


def _decided(rules: Ruleset, chain: Chain, family: str, jumps: int, known: dict[tuple[str, int], Decision]) -> Decision:
    """Return what a chain decides that is reached after some jumps.

    known: what each chain decides after a number of jumps. Without it, chains that jump to each other would be followed on every way.
    """
    at = (chain.name, jumps)
    if at not in known:
        known[at] = _first_decision(rules, chain, family, jumps, known)
    return known[at]


def _first_decision(
    rules: Ruleset, chain: Chain, family: str, jumps: int, known: dict[tuple[str, int], Decision]
) -> Decision:
    for rule in (each.for_new for each in chain.rules):
        verdict = rule.verdict if rule.is_for_all(family) else None
        if verdict in _REFUSING:
            return "refused"
        if verdict in ("accept", "queue"):  # sigsrv can't see what the program behind a queue decides
            return "accepted"
        if verdict == "return":
            return None
        if verdict in ("jump", "goto"):
            target = None if rule.target is None else rules.chain(chain.family, chain.table, rule.target)
            decision = None
            if target is not None and jumps < _MAX_JUMPS:
                decision = _decided(rules, target, family, jumps + 1, known)
            if decision is not None or verdict == "goto":
                return decision
    return None


def _chains_of(facts: HostFacts, site: Site, network: Network) -> Iterator[str]:
    """Yield the chains that Incus creates for a network if it is a managed bridge that it filters. NET-004 reports a missing bridge."""
    if not network.managed or network.type != "bridge":
        return
    if facts.network.links.get(network.name) is None and network.name in site.networks:
        return
    on_member = facts.incus.network_at(network.name, facts.member)
    if on_member is None:
        raise EvidenceError(f"{facts.name}: there is no network {network.name}", host=facts.name)
    config = on_member.config
    addressed = [v for v in ("ipv4", "ipv6") if config.get(f"{v}.address", "none") not in ("", "none")]
    if any(config[f"{version}.firewall"] == "true" for version in addressed):
        yield from (f"{kind}.{network.name}" for kind in ("in", "out", "fwd"))
    if any(config[f"{version}.nat"] == "true" for version in addressed):
        yield f"pstrt.{network.name}"


def _open_sockets(facts: HostFacts) -> str:
    """Return a text with the sockets that the network can reach; "" if there is none. Raises EvidenceError."""
    sockets = sorted({str(each) for each in facts.listeners if not each.is_loopback})
    more = " ..." if len(sockets) > _SHOWN_SOCKETS else ""
    return f"open sockets: {', '.join(sockets[:_SHOWN_SOCKETS])}{more}" if sockets else ""
