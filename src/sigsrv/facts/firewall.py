"""The rules that one host's kernel filters with, and whether it filters what a bridge passes on.

Only nftables is read: what old xtables hold nft does not show. Source: libnftables-json(5).
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import Any

from sigsrv.collect.evidence import Evidence
from sigsrv.facts.parsing import command_failed, mapping, output, parsed, parsing, probe, rows, text

Statement = Mapping[str, Any]
Key = tuple[str, str, str]  # family, table, chain

_VERDICTS = frozenset({"accept", "drop", "reject", "jump", "goto", "return", "queue"})
_COUNTED = frozenset({"counter", "last"})  # they hold what has passed so far, not what is wanted
_FAMILIES = ("IPv4", "IPv6")  # as the probe bridge-nf asks for them
_XT_VERDICTS = frozenset({"accept", "drop", "reject"})  # targets of iptables, which stand in an ``xt`` of nft's answer
_PROTOCOLS = {"IPv4": ("ip", "ipv4"), "IPv6": ("ip6", "ipv6")}  # of a family, and its name in nfproto
_LEAST_RULES = 3  # what is established, and the default action for egress and for ingress
# The base chains that Incus makes for the ACLs of a network: where they are hooked, and by which side they lead to the rules.
_ACL_HOOKS = {
    "aclin": ("input", ("iifname",)),
    "aclout": ("output", ("oifname",)),
    "aclfwd": ("forward", ("iifname", "oifname")),
}
_SILENT = frozenset({"log", "mangle", "notrack", "dup"})  # they let everything on to the next statement


@dataclass(frozen=True)
class Rule:
    """One rule. expr: its statements in order, as nft has them in JSON, without counters; two rules are equal where these are."""

    expr: tuple[Statement, ...]

    @property
    def verdict(self) -> str | None:
        """What becomes of a packet that meets it: ``accept``, ``drop``, ``reject``, ``jump`` ...; None where it goes on."""
        return next((found for found in map(_verdict, self.expr) if found), None)

    @property
    def target(self) -> str | None:
        """The chain that it jumps or goes to."""
        found = next((statement[key] for statement in self.expr for key in ("jump", "goto") if key in statement), None)
        return None if found is None else str(found["target"])

    @property
    def conditions(self) -> tuple[Statement, ...]:
        """The statements that not every packet gets past: not its verdict, a log, a mark or a comment. None: it is for every packet."""
        free = [_verdict(each) or set(each) & _SILENT or _xt(each) == ("match", "comment") for each in self.expr]
        return tuple(each for each, passes in zip(self.expr, free, strict=True) if not passes)

    def is_for_all(self, family: str) -> bool:
        """Whether it is for every packet of a family, ``IPv4`` or ``IPv6``, that begins a connection."""
        return all(_all_meet(each, family) for each in self.conditions)

    @property
    def for_new(self) -> Rule:
        """The rule as a packet meets it that begins a connection: of a map of verdicts by the state (NixOS has one) the one for ``new``."""
        return Rule(tuple(_of_new(each) for each in self.expr))


@dataclass(frozen=True)
class Chain:
    """One chain. type, hook, prio and policy (``accept`` or ``drop``) are those of a base chain; None of any other."""

    family: str
    table: str
    name: str
    rules: tuple[Rule, ...]
    type: str | None = None
    hook: str | None = None
    prio: int | None = None
    policy: str | None = None


@dataclass(frozen=True)
class Ruleset:
    """All that nftables filters with. tables: (family, name); chains: in the order of nft. Dormant tables are left out."""

    tables: tuple[tuple[str, str], ...]
    chains: tuple[Chain, ...]

    def chain(self, family: str, table: str, name: str) -> Chain | None:
        """A chain; None where there is none of that name."""
        return self._by_key.get((family, table, name))

    def hooked(self, hook: str) -> tuple[Chain, ...]:
        """The base chains of a hook, in the order of nft."""
        return tuple(chain for chain in self.chains if chain.hook == hook)

    def missing_of_acls(self, network: str) -> tuple[str, ...]:
        """What is not there of the chains that Incus makes for the ACLs of a network, in words; none where all is.

        Source: Incus, internal/server/firewall/drivers/drivers_nftables_templates.go.
        """
        rules = f"acl.{network}"
        own = self.chain("inet", "incus", rules)
        missing = []
        if own is None:
            missing.append(f"no chain {rules}")
        elif len(own.rules) < _LEAST_RULES:
            missing.append(f"{rules} has {len(own.rules)} rules, of {_LEAST_RULES} at least")
        for prefix, (hook, keys) in _ACL_HOOKS.items():
            chain = self.chain("inet", "incus", f"{prefix}.{network}")
            if chain is None:
                missing.append(f"no chain {prefix}.{network}")
                continue
            if chain.hook != hook:
                missing.append(f"{chain.name} is not at {hook}")
            missing += [
                f"{chain.name} does not lead to {rules} by {key}"
                for key in keys
                if ((on_interface(key, network),), "jump", rules)
                not in [(rule.conditions, rule.verdict, rule.target) for rule in chain.rules]
            ]
            others = [rule for rule in chain.rules if rule.verdict and rule.target != rules]
            if any(rule.is_for_all(family) for rule in others for family in _FAMILIES):
                missing.append(f"{chain.name} has a rule for every packet")
        return tuple(missing)

    @cached_property
    def _by_key(self) -> Mapping[Key, Chain]:
        return {(chain.family, chain.table, chain.name): chain for chain in self.chains}


def on_interface(key: str, name: str) -> Statement:
    """The condition that a packet came in by, or goes out by, a link. key: ``iifname`` or ``oifname``."""
    return {"match": {"op": "==", "left": {"meta": {"key": key}}, "right": name}}


def _verdict(statement: Statement) -> str | None:
    kind, name = _xt(statement)
    if kind == "target" and name.lower() in _XT_VERDICTS:
        return name.lower()
    return next((key for key in statement if key in _VERDICTS), None)


def _of_new(statement: Statement) -> Statement:
    told = statement.get("vmap")
    if not isinstance(told, Mapping) or told.get("key") != {"ct": {"key": "state"}}:
        return statement
    data = told.get("data")
    pairs = data.get("set") if isinstance(data, Mapping) else None  # else the name of a map, which stands elsewhere
    for pair in pairs if isinstance(pairs, list) else []:
        if isinstance(pair, list) and len(pair) == 2 and pair[0] == "new" and isinstance(pair[1], Mapping):
            return pair[1]
    return statement


def _xt(statement: Statement) -> tuple[str, str]:
    """The type and the name of an extension of iptables; "" of any other statement, and where an old nft tells neither."""
    told = statement.get("xt")
    return (str(told.get("type")), str(told.get("name"))) if isinstance(told, Mapping) else ("", "")


def _all_meet(statement: Statement, family: str) -> bool:
    """Whether each packet of a family that begins a connection meets a condition: on its family, on an address of all, on that state."""
    match = statement.get("match")
    if not isinstance(match, Mapping):
        return False
    left, right = match.get("left"), match.get("right")
    found = right.get("set") if isinstance(right, Mapping) and "set" in right else right
    # "in" is any of some flags; "==" of a list would be all of them at once
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
    """The rules of one host. document: the probe ``nft`` (``nft -j list ruleset``).

    No table at all is a complete answer; one without nft's own first row is none. Raises EvidenceError.
    """
    with parsing("nft list ruleset", host):
        listed = rows(mapping(parsed(document), "answer")["nftables"], "nftables")
        if not listed or "metainfo" not in listed[0]:
            raise ValueError("nftables: does not begin with metainfo")
        tables: list[tuple[str, str]] = []
        dormant: set[tuple[str, str]] = set()
        chains: dict[Key, Mapping[str, Any]] = {}
        rules: dict[Key, list[Rule]] = {}
        for row in listed:
            if not row:
                raise ValueError("nftables: an empty row")
            kind, value = next(iter(row.items()))
            if kind == "table":
                tables.append(_names(mapping(value, kind), "family", "name"))
                if "dormant" in (value.get("flags") or ()):  # a text, or a list of them
                    dormant.add(tables[-1])
            elif kind == "chain":
                key = _key(mapping(value, kind), "name")
                if key in chains or key[:2] not in tables:
                    raise ValueError(f"chain {' '.join(key)}: there twice, or in no table")
                chains[key], rules[key] = value, []
            elif kind == "rule":
                rules[_key(mapping(value, kind), "chain")].append(_rule(value))
        awake = {key: row for key, row in chains.items() if key[:2] not in dormant}
        return Ruleset(
            tuple(table for table in tables if table not in dormant),
            tuple(_chain(key, row, rules[key]) for key, row in awake.items()),
        )


def _names(row: Mapping[str, Any], first: str, second: str) -> tuple[str, str]:
    return text(row[first], first), text(row[second], second)


def _key(row: Mapping[str, Any], name: str) -> Key:
    return (*_names(row, "family", "table"), text(row[name], name))


def _rule(row: Mapping[str, Any]) -> Rule:
    return Rule(tuple(each for each in rows(row["expr"], "expr") if not set(each) & _COUNTED))


def _chain(key: Key, row: Mapping[str, Any], rules: list[Rule]) -> Chain:
    if "hook" not in row:
        return Chain(*key, tuple(rules))
    kind, hook = _names(row, "type", "hook")
    policy = row.get("policy", "accept")  # the kernel's own default
    if isinstance(row["prio"], bool) or not isinstance(row["prio"], int) or policy not in ("accept", "drop"):
        raise ValueError(f"chain {' '.join(key)}: prio or policy")
    return Chain(*key, tuple(rules), kind, hook, row["prio"], policy)


@dataclass(frozen=True)
class FirewallFacts:
    """What one host tells of what it filters."""

    evidence: Evidence

    @cached_property
    def rules(self) -> Ruleset:
        """All rules of nftables. Raises EvidenceError, also where the account may not read them."""
        return ruleset(output(self.evidence, "nft"), self.evidence.host)

    @cached_property
    def filters_bridged(self) -> frozenset[str]:
        """What a bridge passes on and still meets the rules: ``IPv4``, ``IPv6``; neither where br_netfilter is not loaded."""
        answer = probe(self.evidence, "bridge-nf")
        if answer.rc != 0:
            if answer.stderr.lower().count("no such file") == len(_FAMILIES) and not answer.stdout:
                return frozenset()
            raise command_failed(self.evidence.host, "bridge-nf", answer)
        with parsing("bridge-nf-call-iptables", self.evidence.host):
            said = answer.stdout.split()
            if len(said) != len(_FAMILIES) or not set(said) <= {"0", "1"}:
                raise ValueError(f"{answer.stdout!r} is not 0 or 1 for each of {', '.join(_FAMILIES)}")
            return frozenset(family for family, word in zip(_FAMILIES, said, strict=True) if word == "1")
