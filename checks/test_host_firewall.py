"""Checks of HOST: what filters the traffic to a host."""

from contextlib import suppress

from sigsrv import policy
from sigsrv.model.errors import EvidenceError, FailureKind

_INCUS = "incus"  # the name of its table
_REFUSES = ("drop", "reject")
_DEPTH = 16  # as many jumps as the kernel allows


@policy("HOST-004")
def test_host_has_a_firewall_and_rules_of_incus_are_in_it(facts, site, require):
    """Incus's own chains accept by default: something else must refuse what nobody asked for."""
    driver = facts.incus.server.firewall
    if driver != "nftables":
        reason = (
            f"{facts.name}: Incus filters with {driver or 'something that it does not name'}: only nftables is read"
        )
        raise EvidenceError(reason, FailureKind.ABSENT, facts.name)
    rules = facts.firewall.rules
    own = [chain for chain in rules.hooked("input") if chain.table != _INCUS]
    refusing = {
        family: [chain for chain in own if chain.family in names and _refuses(rules, chain, family)]
        for family, names in _families(facts).items()
    }
    open_to = [family for family, chains in refusing.items() if not chains]
    names = dict.fromkeys(f"{each.family} {each.table} {each.name}" for chains in refusing.values() for each in chains)
    faults = []
    if open_to:
        faults.append(f"no chain refuses what comes in by {' and '.join(open_to)}{_reachable(facts)}")
    missing = [name for name in _wanted(facts, site) if rules.chain("inet", _INCUS, name) is None]
    if missing:
        faults.append(f"not in table {_INCUS}: {', '.join(missing)}")
    require(
        facts.name,
        not faults,
        expected="a chain on the hook input refuses what no rule accepts, and the chains of each managed bridge are loaded",
        observed="; ".join(faults) or f"{', '.join(names)} refuses the rest",
    )


def _families(facts):
    """The families that must be filtered, each with those of nftables that do it. IPv6 only where the host has an address of it."""
    needed = {"IPv4": ("inet", "ip")}
    held = [address.ip for each in facts.network.addresses.values() for address in each]
    if any(ip.version == 6 and not ip.is_loopback for ip in held):
        needed["IPv6"] = ("inet", "ip6")
    return needed


def _refuses(rules, chain, family):
    """Whether what no rule of a base chain accepts is refused: by a rule for all packets of a family, or else by its policy."""
    fate = _fate(rules, chain, family)
    return fate == "refused" or (fate is None and chain.policy == "drop")


def _fate(rules, chain, family, depth=0):
    """What becomes of a packet that begins a connection and meets no other condition: ``refused``, ``accepted``, None where it goes on."""
    for rule in (each.for_new for each in chain.rules):
        verdict = rule.verdict if rule.is_for_all(family) else None
        if verdict in _REFUSES:
            return "refused"
        if verdict in ("accept", "queue"):  # what a program in the queue does with it nobody sees here
            return "accepted"
        if verdict == "return":
            return None
        if verdict in ("jump", "goto"):
            target = rules.chain(chain.family, chain.table, rule.target)
            fate = _fate(rules, target, family, depth + 1) if target is not None and depth < _DEPTH else None
            if fate is not None or verdict == "goto":
                return fate
    return None


def _wanted(facts, site):
    """The chains that Incus makes for each managed bridge which it filters; where a bridge is missing, that is NET-004's."""
    for network in facts.incus.networks:
        if not network.managed or network.type != "bridge":
            continue
        if facts.network.links.get(network.name) is None and network.name in site.networks:
            continue
        here = facts.incus.network_at(network.name, facts.member).config
        addressed = [v for v in ("ipv4", "ipv6") if here.get(f"{v}.address", "none") not in ("", "none")]
        if any(here[f"{version}.firewall"] == "true" for version in addressed):
            yield from (f"{kind}.{network.name}" for kind in ("in", "out", "fwd"))
        if any(here[f"{version}.nat"] == "true" for version in addressed):
            yield f"pstrt.{network.name}"


def _reachable(facts):
    """The sockets that anybody could reach then, for the one who reads it."""
    with suppress(EvidenceError):
        sockets = sorted({str(each) for each in facts.listeners if not each.is_loopback})
        if sockets:
            return f" (there listen {', '.join(sockets[:8])}{' ...' if len(sockets) > 8 else ''})"
    return ""
