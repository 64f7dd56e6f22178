"""Tests the facts about nftables rules and br_netfilter with recorded output of real hosts."""

from __future__ import annotations

import json

import pytest

from sigsrv.collect.evidence import Answer, Evidence, Failure
from sigsrv.facts.firewall import Chain, FirewallFacts, Rule, on_interface, ruleset
from sigsrv.model.errors import EvidenceError, FailureKind


def of(probe: str, stdout: str, rc: int = 0, stderr: str = "", failure: Failure | None = None) -> FirewallFacts:
    return FirewallFacts(Evidence("sigsrv", 0.0, probes={probe: Answer("x", rc, stdout, stderr, failure)}))


def document(*rows: dict) -> str:
    return json.dumps({"nftables": [{"metainfo": {"version": "1.1.3"}}, *rows]})


TABLE = {"table": {"family": "inet", "name": "incus", "handle": 5}}
CHAIN = {"chain": {"family": "inet", "table": "incus", "name": "acl.a", "handle": 1}}
DROP = {"drop": None}


def rule(*expr: dict, chain: str = "acl.a", **other: object) -> dict:
    return {"rule": {"family": "inet", "table": "incus", "chain": chain, "handle": 7, "expr": list(expr), **other}}


@pytest.mark.parametrize("host", ["sigsrv", "minisrv"])
def test_the_chains_that_incus_creates_for_an_acl_are_read(recorded, host):
    """The rules of the ACL keep their order, and the forward chain jumps to them for both directions."""
    found = ruleset(recorded(f"nft/{host}.json"))

    acl, forward = found.chain("inet", "incus", "acl.userbr0"), found.chain("inet", "incus", "aclfwd.userbr0")
    assert [each.verdict for each in acl.rules] == ["accept", "reject", "accept", "accept", "accept", "reject"]
    assert (acl.hook, acl.policy) == (None, None)
    assert (forward.type, forward.hook, forward.policy) == ("filter", "forward", "accept")
    assert [(each.target, each.conditions) for each in forward.rules] == [
        ("acl.userbr0", (on_interface("iifname", "userbr0"),)),
        ("acl.userbr0", (on_interface("oifname", "userbr0"),)),
    ]


def test_missing_acl_chains_of_a_network_are_listed(recorded):
    """The network with ACLs has all chains. The network without ACLs has none of them."""
    found = ruleset(recorded("nft/sigsrv.json"))

    assert found.missing_of_acls("userbr0") == ()
    assert found.missing_of_acls("incusbr0") == (
        "no chain acl.incusbr0",
        "no chain aclin.incusbr0",
        "no chain aclout.incusbr0",
        "no chain aclfwd.incusbr0",
    )


def test_the_filters_at_a_hook_are_found(recorded):
    """The hook and the type decide, not the name of the chain. A chain of type nat filters nothing."""
    found = ruleset(recorded("nft/sigsrv.json"))

    assert {chain.type for chain in found.chains if chain.hook == "postrouting"} == {"nat"}
    assert found.filters("postrouting") == ()
    assert [chain.name for chain in found.filters("input")] == [
        "in.sigsrvbr0",
        "in.incusbr0",
        "aclin.userbr0",
        "in.userbr0",
    ]
    assert found.chain("inet", "incus", "acl.sigsrvbr0") is None
    assert found.chain("bridge", "incus", "acl.userbr0") is None


def test_counters_and_handles_are_not_part_of_a_rule():
    """Two hosts with the same rules load them at different times and count different packets."""
    one = ruleset(document(TABLE, CHAIN, rule({"counter": {"packets": 1, "bytes": 60}}, DROP, handle=3)))
    other = ruleset(document(TABLE, CHAIN, rule(DROP, handle=9, comment="x")))

    assert one == other
    assert one.chains == (Chain("inet", "incus", "acl.a", (Rule((DROP,)),)),)


def test_a_rule_that_logs_and_drops_matches_every_packet():
    """A log statement is no condition. A limit, and any unknown expression, is one."""
    silent = Rule(({"log": {"prefix": "x"}}, DROP))
    limited = Rule(({"limit": {"rate": 3, "per": "second"}}, DROP))

    assert (silent.conditions, silent.verdict, silent.target) == ((), "drop", None)
    assert limited.conditions == ({"limit": {"rate": 3, "per": "second"}},)
    assert Rule(({"xt": None}, {"accept": None})).conditions == ({"xt": None},)
    assert Rule(({"log": None},)).verdict is None


COMMENT = {"xt": {"type": "match", "name": "comment"}}
FROM_ANY = {
    "match": {
        "op": "==",
        "left": {"payload": {"protocol": "ip", "field": "saddr"}},
        "right": {"prefix": {"addr": "0.0.0.0", "len": 0}},
    }
}
STATES = ["established", "related", "new"]


def matched(left: dict, right: object, op: str = "==") -> dict:
    return {"match": {"op": op, "left": left, "right": right}}


@pytest.mark.parametrize("name", ["ACCEPT", "DROP", "REJECT"])
def test_a_target_of_iptables_is_a_verdict_and_a_comment_is_no_condition(name):
    """Each packet matches a comment. Any other extension of iptables may match only some packets."""
    target = {"xt": {"type": "target", "name": name}}

    assert (Rule((COMMENT, target)).conditions, Rule((COMMENT, target)).verdict) == ((), name.lower())
    for other in (
        {"xt": {"type": "match", "name": "conntrack"}},
        {"xt": {"type": "target", "name": "comment"}},
        {"xt": {"type": "match", "name": name}},
        {"xt": None},
    ):
        assert Rule((other, {"accept": None})).conditions == (other,)
    assert Rule(({"xt": {"type": "target", "name": "MARK"}},)).verdict is None


@pytest.mark.parametrize(
    ("condition", "families"),
    [
        (FROM_ANY, ["IPv4"]),
        (matched({"payload": {"protocol": "ip6", "field": "daddr"}}, {"prefix": {"addr": "::", "len": 0}}), ["IPv6"]),
        (matched({"payload": {"protocol": "ip", "field": "saddr"}}, {"prefix": {"addr": "10.0.0.0", "len": 8}}), []),
        (matched({"payload": {"protocol": "ip", "field": "saddr"}}, "10.0.0.1"), []),
        (matched({"payload": {"protocol": "ip", "field": "saddr"}}, {"prefix": 0}), []),
        ({"match": {**FROM_ANY["match"], "op": "!="}}, []),
        (matched({"meta": {"key": "nfproto"}}, "ipv4"), ["IPv4"]),
        (matched({"meta": {"key": "nfproto"}}, {"set": ["ipv4", "ipv6"]}), ["IPv4", "IPv6"]),
        (matched({"meta": {"key": "protocol"}}, "ip6"), ["IPv6"]),
        (matched({"meta": {"key": "l4proto"}}, "ip"), []),
        (matched({"ct": {"key": "state"}}, STATES, "in"), ["IPv4", "IPv6"]),
        (matched({"ct": {"key": "state"}}, [*STATES, "invalid", "untracked"], "in"), ["IPv4", "IPv6"]),
        (matched({"ct": {"key": "state"}}, {"set": STATES}), ["IPv4", "IPv6"]),
        (matched({"ct": {"key": "state"}}, STATES), []),  # all of them at once
        (matched({"ct": {"key": "state"}}, "new", "in"), ["IPv4", "IPv6"]),
        (matched({"ct": {"key": "state"}}, ["established", "related"], "in"), []),
        (matched({"ct": {"key": "state"}}, "invalid", "in"), []),
        (matched({"ct": {"key": "state"}}, {"set": STATES}, "!="), []),
        (matched({"ct": {"key": "direction"}}, STATES, "in"), []),
        ({"match": None}, []),
        ({"limit": {"rate": 3, "per": "second"}}, []),
    ],
)
def test_a_condition_that_all_packets_of_a_family_match_does_not_limit_the_rule(condition, families):
    """The forms are those that nft 1.0 and 1.1 print for any address, for a family, and for all connection states."""
    rule_of = Rule((condition, {"accept": None}))

    assert [family for family in ("IPv4", "IPv6") if rule_of.is_for_all(family)] == families
    assert not Rule((condition, {"limit": {}}, {"accept": None})).is_for_all("IPv4")


def test_a_rule_before_an_acl_that_matches_a_whole_family_is_reported():
    """The packets that this rule accepts never reach the rules of the ACL."""
    names = [f"{prefix}.a" for prefix in ("acl", "aclin", "aclout", "aclfwd")]
    hooks = dict(zip(names[1:], ("input", "output", "forward"), strict=True))
    base = {"type": "filter", "prio": 0, "policy": "accept"}
    chains = [{**CHAIN["chain"], "name": n, **({**base, "hook": hooks[n]} if n in hooks else {})} for n in names]
    rules = [rule(DROP) for _ in range(3)]
    for name, keys in (("aclin.a", ["iifname"]), ("aclout.a", ["oifname"]), ("aclfwd.a", ["iifname", "oifname"])):
        rules += [rule(on_interface(key, "a"), {"jump": {"target": "acl.a"}}, chain=name) for key in keys]
    before = rule(FROM_ANY, {"accept": None}, chain="aclfwd.a")

    rows = [TABLE, *({"chain": chain} for chain in chains)]
    assert ruleset(document(*rows, *rules)).missing_of_acls("a") == ()
    assert ruleset(document(*rows, before, *rules)).missing_of_acls("a") == (
        "aclfwd.a has another rule that matches every packet",
    )


def test_an_empty_ruleset_is_a_valid_answer():
    """`nft flush ruleset` leaves such a ruleset."""
    found = of("nft", document()).rules

    assert found.chains == ()


@pytest.mark.parametrize("flags", ["dormant", ["dormant"]])
def test_a_dormant_table_is_left_out(flags):
    """The rules of a dormant table exist, but have no effect."""
    asleep = {"table": {**TABLE["table"], "flags": flags}}
    other = {"table": {"family": "ip", "name": "filter", "handle": 1}}

    found = of("nft", document(asleep, CHAIN, rule(DROP), other)).rules

    assert found.chains == ()


@pytest.mark.parametrize(
    "document_text",
    [
        "",
        "[]",
        "{}",
        "null",
        '{"nftables": []}',
        '{"nftables": {}}',
        '{"nftables": [{"table": {"family": "inet", "name": "incus"}}]}',
        document(CHAIN),
        document(TABLE, CHAIN, CHAIN),
        document(TABLE, {"chain": {"family": "inet", "table": "incus"}}),
        document(TABLE, rule(DROP)),
        document(TABLE, CHAIN, {"rule": {"family": "inet", "table": "incus", "chain": "acl.a"}}),
        document(TABLE, CHAIN, rule(chain="")),
        document(TABLE, CHAIN, rule({"jump": {}})),
        document(TABLE, CHAIN, rule({"goto": "other"})),
        document(TABLE, {"chain": {**CHAIN["chain"], "type": "filter", "hook": "input", "prio": "x"}}),
        document(TABLE, {"chain": {**CHAIN["chain"], "type": "filter", "hook": "input", "prio": 0, "policy": "?"}}),
        document({}),
    ],
)
def test_output_that_is_not_a_ruleset_is_an_error(document_text):
    """It never reads as a host without rules."""
    with pytest.raises(EvidenceError, match=r"sigsrv: (nft list ruleset|probe nft: the output is cut off)"):
        _ = of("nft", document_text).rules


def test_a_ruleset_that_nft_does_not_print_is_an_error():
    """Only root may read the ruleset, and the host may have no nft."""
    with pytest.raises(EvidenceError) as refused:
        _ = of("nft", "", 1, "Operation not permitted (you must be root)").rules
    assert refused.value.kind is FailureKind.DENIED
    with pytest.raises(EvidenceError):
        _ = of("nft", "", 127, "", Failure(FailureKind.MISSING, "nft is not on the host")).rules


GONE = "cat: /proc/sys/net/bridge/bridge-nf-call-iptables: No such file or directory"
BOTH_GONE = f"{GONE}\n{GONE.replace('iptables', 'ip6tables')}"


@pytest.mark.parametrize(
    ("stdout", "rc", "stderr", "wanted"),
    [
        ("1\n1\n", 0, "", {"IPv4", "IPv6"}),
        ("1\n0\n", 0, "", {"IPv4"}),
        ("0\n0\n", 0, "", set()),
        ("", 1, BOTH_GONE, set()),
    ],
)
def test_br_netfilter_is_on_off_or_not_loaded(stdout, rc, stderr, wanted):
    """Without the module, the files do not exist, and the kernel filters no bridged packets."""
    assert of("bridge-nf", stdout, rc, stderr).filters_bridged == wanted


@pytest.mark.parametrize(
    ("stdout", "rc", "stderr"),
    [
        ("", 0, ""),
        ("1\n", 0, ""),
        ("1\n2\n", 0, ""),
        ("1\n1\n1\n", 0, ""),
        ("", 1, "Permission denied"),
        ("1\n", 1, GONE.replace("iptables", "ip6tables")),
        ("", 1, GONE),
    ],
)
def test_a_sysctl_that_cannot_be_read_is_an_error(stdout, rc, stderr):
    """It never reads as on and never as off."""
    with pytest.raises(EvidenceError):
        _ = of("bridge-nf", stdout, rc, stderr).filters_bridged
