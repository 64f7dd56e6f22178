"""The firewall rules in one host's kernel, and whether the kernel filters bridged packets.

Only nftables is read. nft does not show the rules of legacy xtables. Source: libnftables-json(5).
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from sigsrv.collect.evidence import Evidence
from sigsrv.facts.parsing import command_failed, mapping, output, parsed, parsing, probe, rows, text
from sigsrv.facts.reading import fact

Statement = Mapping[str, Any]
Key = tuple[str, str, str]  # family, table, chain

_VERDICTS = frozenset({"accept", "drop", "reject", "jump", "goto", "return", "queue"})
_JUMPS = frozenset({"jump", "goto"})
_COUNTED = frozenset({"counter", "last"})  # they count what has passed; they don't select or decide
_LEVELS = 32  # of a statement in nft's JSON; nested maps and sets have about ten
_FAMILIES = ("IPv4", "IPv6")  # in the order of the probe bridge-nf
_XT_VERDICTS = frozenset({"accept", "drop", "reject"})  # targets of iptables; nft shows them in an ``xt``
_PROTOCOLS = {"IPv4": ("ip", "ipv4"), "IPv6": ("ip6", "ipv6")}  # the name, and the name in nfproto
_LEAST_RULES = 3  # established connections, the default action for egress, and the one for ingress
# The base chains that Incus creates for the ACLs of a network: their hook, and the interface keys that jump to the ACL's rules.
_ACL_HOOKS = {
    "aclin": ("input", ("iifname",)),
    "aclout": ("output", ("oifname",)),
    "aclfwd": ("forward", ("iifname", "oifname")),
}
_SILENT = frozenset({"log", "mangle", "notrack", "dup"})  # every packet continues with the next statement


@dataclass(frozen=True)
class Rule:
    """An nftables rule. Two rules are equal if their statements are equal."""

    expr: tuple[Statement, ...]
    """The rule's statements in order, in nft's JSON, without counters."""

    @property
    def verdict(self) -> str | None:
        """Return what happens to a matching packet: ``accept``, ``drop``, ``reject``, ``jump`` ...; None if the next rule decides."""
        return next((found for found in map(_verdict, self.expr) if found), None)

    @property
    def target(self) -> str | None:
        """Return the chain that the rule jumps or goes to; None if it does neither."""
        found = next((statement[key] for statement in self.expr for key in _JUMPS if key in statement), None)
        return None if found is None else str(found["target"])

    @property
    def conditions(self) -> tuple[Statement, ...]:
        """Return the statements that restrict which packets match; empty if every packet matches.

        The verdict, logs, marks and comments restrict nothing, so they are left out.
        """
        free = [_verdict(each) or set(each) & _SILENT or _xt(each) == ("match", "comment") for each in self.expr]
        return tuple(each for each, passes in zip(self.expr, free, strict=True) if not passes)

    def is_for_all(self, family: str) -> bool:
        """Return whether every packet of a family (``IPv4`` or ``IPv6``) that starts a connection matches."""
        return all(_all_meet(each, family) for each in self.conditions)

    @property
    def for_new(self) -> Rule:
        """Return the rule as it applies to a packet that starts a connection.

        A map of verdicts by connection state (NixOS uses one) is replaced with the verdict for ``new``.
        """
        return Rule(tuple(_of_new(each) for each in self.expr))


@dataclass(frozen=True)
class Chain:
    """An nftables chain. Only a base chain has a type, a hook and a policy."""

    family: str
    """The family of its table, for example ``inet``, ``ip``, ``ip6`` or ``bridge``."""
    table: str
    """The name of its table."""
    name: str
    """The chain's name."""
    rules: tuple[Rule, ...]
    """The rules in the order in which the kernel evaluates them."""
    type: str | None = None
    """The type of a base chain, for example ``filter`` or ``nat``; None for a chain without a hook."""
    hook: str | None = None
    """The hook of a base chain, for example ``input`` or ``forward``; None for a chain without a hook."""
    policy: str | None = None
    """What a base chain does with a packet that no rule decides: ``accept`` or ``drop``; None for a chain without a hook."""


@dataclass(frozen=True)
class Ruleset:
    """All active nftables rules of a host. Dormant tables are left out."""

    chains: tuple[Chain, ...]
    """The chains of all tables, in nft's order."""

    def chain(self, family: str, table: str, name: str) -> Chain | None:
        """Return a chain; None if it does not exist."""
        return self._by_key.get((family, table, name))

    def filters(self, hook: str) -> tuple[Chain, ...]:
        """Return the base chains of type filter at a hook, in nft's order.

        A chain of type nat sees only the first packet of a connection that the kernel tracks; one of type route does not filter.
        """
        return tuple(chain for chain in self.chains if chain.hook == hook and chain.type == "filter")

    def missing_of_acls(self, network: str) -> tuple[str, ...]:
        """Return what is missing from the chains that Incus creates for the ACLs of a network, in words; empty if all is present.

        Source: Incus, internal/server/firewall/drivers/drivers_nftables_templates.go.
        """
        rules = f"acl.{network}"
        own = self.chain("inet", "incus", rules)
        missing = []
        if own is None:
            missing.append(f"no chain {rules}")
        elif len(own.rules) < _LEAST_RULES:
            missing.append(f"{rules} has {len(own.rules)} rules instead of at least {_LEAST_RULES}")
        for prefix, (hook, keys) in _ACL_HOOKS.items():
            chain = self.chain("inet", "incus", f"{prefix}.{network}")
            if chain is None:
                missing.append(f"no chain {prefix}.{network}")
                continue
            if chain.hook != hook or chain.type != "filter":
                missing.append(f"{chain.name} is not a filter at hook {hook}")
            missing += [
                f"{chain.name} does not jump to {rules} by {key}"
                for key in keys
                if ((on_interface(key, network),), "jump", rules)
                not in [(rule.conditions, rule.verdict, rule.target) for rule in chain.rules]
            ]
            others = [rule for rule in chain.rules if rule.verdict and rule.target != rules]
            if any(rule.is_for_all(family) for rule in others for family in _FAMILIES):
                missing.append(f"{chain.name} has another rule that matches every packet")
        return tuple(missing)

    @fact
    def _by_key(self) -> Mapping[Key, Chain]:
        return {(chain.family, chain.table, chain.name): chain for chain in self.chains}


def on_interface(key: str, name: str) -> Statement:
    """Return the condition that a packet came in (key ``iifname``) or goes out (key ``oifname``) through a link."""
    return {"match": {"op": "==", "left": {"meta": {"key": key}}, "right": name}}


def _verdict(statement: Statement) -> str | None:
    kind, name = _xt(statement)
    if kind == "target" and name.lower() in _XT_VERDICTS:
        return name.lower()
    return next((key for key in statement if key in _VERDICTS), None)


def _of_new(statement: Statement) -> Statement:
    operand = statement.get("vmap")
    if not isinstance(operand, Mapping) or operand.get("key") != {"ct": {"key": "state"}}:
        return statement
    data = operand.get("data")
    pairs = data.get("set") if isinstance(data, Mapping) else None  # else: the name of a map that is defined elsewhere
    for pair in pairs if isinstance(pairs, list) else []:
        if isinstance(pair, list) and len(pair) == 2 and pair[0] == "new" and isinstance(pair[1], Mapping):
            return pair[1]
    return statement


def _xt(statement: Statement) -> tuple[str, str]:
    """Return the type and the name of an iptables extension; "" for any other statement, or if an old nft reports neither."""
    operand = statement.get("xt")
    return (str(operand.get("type")), str(operand.get("name"))) if isinstance(operand, Mapping) else ("", "")


def _all_meet(statement: Statement, family: str) -> bool:
    """Return whether every packet of a family that starts a connection meets a condition.

    Such a condition asks for the family itself, for any address (prefix length 0), or for the state ``new``.
    """
    match = statement.get("match")
    if not isinstance(match, Mapping):
        return False
    left, right = match.get("left"), match.get("right")
    found = right.get("set") if isinstance(right, Mapping) and "set" in right else right
    # "in" matches any of the flags; "==" with a list would require all of them at once
    if match.get("op") not in ("in", "==") or (match["op"] == "==" and isinstance(right, list)):
        return False
    values = found if isinstance(found, list) else [found]
    protocol, name = _PROTOCOLS[family]
    if left == {"ct": {"key": "state"}}:
        return "new" in values
    if left in [{"payload": {"protocol": protocol, "field": field}} for field in ("saddr", "daddr")]:
        prefixes = [each["prefix"] for each in values if isinstance(each, Mapping) and "prefix" in each]
        return any(isinstance(each, Mapping) and each.get("len") == 0 for each in prefixes)
    return (left == {"meta": {"key": "nfproto"}} and name in values) or (
        left == {"meta": {"key": "protocol"}} and protocol in values
    )


def ruleset(document: str, host: str = "") -> Ruleset:
    """Return the rules of one host.

    document: the output of the probe ``nft`` (``nft -j list ruleset``). An answer without a table is complete. Raises EvidenceError
    if the answer is malformed, also if nft's first row (``metainfo``) is missing.
    """
    with parsing("nft list ruleset", host):
        listed = rows(mapping(parsed(document), "answer")["nftables"], "nftables")
        if not listed or "metainfo" not in listed[0]:
            raise ValueError("nftables: the first row is not metainfo")
        tables: set[tuple[str, str]] = set()
        dormant: set[tuple[str, str]] = set()
        chains: dict[Key, Mapping[str, Any]] = {}
        rules: dict[Key, list[Rule]] = {}
        for row in listed:
            if not row:
                raise ValueError("nftables: an empty row")
            kind, value = next(iter(row.items()))
            if kind == "table":
                tables.add(names := _names(mapping(value, kind), "family", "name"))
                if "dormant" in (value.get("flags") or ()):  # a string, or a list of strings
                    dormant.add(names)
            elif kind == "chain":
                key = _key(mapping(value, kind), "name")
                if key in chains or key[:2] not in tables:
                    raise ValueError(f"chain {' '.join(key)}: listed twice, or in no table")
                chains[key], rules[key] = value, []
            elif kind == "rule":
                rules[_key(mapping(value, kind), "chain")].append(_rule(value))
        awake = {key: row for key, row in chains.items() if key[:2] not in dormant}
        return Ruleset(tuple(_chain(key, row, rules[key]) for key, row in awake.items()))


def _names(row: Mapping[str, Any], first: str, second: str) -> tuple[str, str]:
    return text(row[first], first), text(row[second], second)


def _key(row: Mapping[str, Any], name: str) -> Key:
    return (*_names(row, "family", "table"), text(row[name], name))


def _rule(row: Mapping[str, Any]) -> Rule:
    found = tuple(each for each in rows(row["expr"], "expr") if not set(each) & _COUNTED)
    _require_depth(found, _LEVELS)
    for statement in found:
        for key in _JUMPS & set(statement):
            text(mapping(statement[key], key)["target"], f"{key}: target")
    return Rule(found)


def _require_depth(value: Any, levels: int) -> None:
    """Raise ValueError if a JSON value has more levels. To compare it or to print it takes a call within a call for each level."""
    if isinstance(value, dict | list | tuple):
        if not levels:
            raise ValueError(f"expr: more than {_LEVELS} levels")
        for each in value.values() if isinstance(value, dict) else value:
            _require_depth(each, levels - 1)


def _chain(key: Key, row: Mapping[str, Any], rules: list[Rule]) -> Chain:
    if "hook" not in row:
        return Chain(*key, tuple(rules))
    kind, hook = _names(row, "type", "hook")
    policy = row.get("policy", "accept")  # the kernel's own default
    if isinstance(row["prio"], bool) or not isinstance(row["prio"], int) or policy not in ("accept", "drop"):
        raise ValueError(f"chain {' '.join(key)}: prio or policy")
    return Chain(*key, tuple(rules), kind, hook, policy)


@dataclass(frozen=True)
class FirewallFacts:
    """The firewall rules of one host."""

    evidence: Evidence
    """The evidence of the host."""

    @fact
    def rules(self) -> Ruleset:
        """Return all active nftables rules. Raises EvidenceError, also if the account may not read them."""
        return ruleset(output(self.evidence, "nft"), self.evidence.host)

    @fact
    def filters_bridged(self) -> frozenset[str]:
        """Return the families (``IPv4``, ``IPv6``) whose bridged packets pass through the firewall; empty without br_netfilter."""
        answer = probe(self.evidence, "bridge-nf")
        if answer.rc != 0:
            if answer.stderr.lower().count("no such file") == len(_FAMILIES) and not answer.stdout:
                return frozenset()
            raise command_failed(self.evidence.host, "bridge-nf", answer)
        with parsing("bridge-nf-call-iptables", self.evidence.host):
            reported = answer.stdout.split()
            if len(reported) != len(_FAMILIES) or not set(reported) <= {"0", "1"}:
                raise ValueError(f"{answer.stdout!r} is not 0 or 1 for each of {', '.join(_FAMILIES)}")
            return frozenset(family for family, word in zip(_FAMILIES, reported, strict=True) if word == "1")
