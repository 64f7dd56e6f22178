"""The small two-host evidence that examples and cases change."""

from __future__ import annotations

import copy
import json
from collections.abc import Mapping, Sequence
from functools import cache
from typing import Any

import jsonpatch
import jsonschema
import yaml

from sigsrv.collect import urls
from sigsrv.collect.evidence import Answer, ApiAnswer, Evidence, Failure
from sigsrv.facts.hosts import HostFacts
from sigsrv.judge.evaluate import evaluate
from sigsrv.judge.require import Check
from sigsrv.model import data, site_file, yamlfile
from sigsrv.model.errors import FailureKind
from sigsrv.model.finding import Finding
from sigsrv.model.policy import Policy
from sigsrv.model.site import Site

_LISTS = {
    urls.PROJECTS: "projects",
    urls.PROFILES: "profiles",
    urls.NETWORKS: "networks",
    urls.NETWORK_ACLS: "network_acls",
    urls.POOLS: "pools",
    urls.INSTANCES: "instances",
    urls.CERTIFICATES: "certificates",
}
_LINK: Mapping[str, Any] = {"mtu": 1500, "flags": ["UP", "LOWER_UP"]}
_WARNING: Mapping[str, Any] = {
    "severity": "moderate",
    "location": "",
    "entity_url": "",
    "last_message": "",
    "count": 1,
    "last_seen_at": "2026-11-18T00:00:00Z",
}


@cache
def _document() -> str:
    """As JSON: it is read once, and an alias is a copy, so that a change on one host stays there."""
    text = (data.folder("policies") / "examples.yaml").read_text(encoding="utf-8")
    return json.dumps(yaml.load(text, Loader=getattr(yaml, "CSafeLoader", yaml.SafeLoader)))  # noqa: S506


def document() -> dict[str, Any]:
    """The evidence that examples change: ``site``, ``cluster`` and one entry for each host. Each call gives another copy."""
    found = json.loads(_document())
    assert isinstance(found, dict)
    return found


def changed(change: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
    """A copy of the document with a change (JSON Patch). Raises as jsonpatch does, TypeError and ValueError too, where it can't be made."""
    own = copy.deepcopy(change)  # what a patch adds becomes part of the document
    found = jsonpatch.apply_patch(document(), own, in_place=True)
    assert isinstance(found, dict)
    return found


@cache
def _validator() -> jsonschema.Draft202012Validator:
    return jsonschema.Draft202012Validator(yamlfile.schema("examples"))


def mistake(content: Mapping[str, Any]) -> str:
    """Where a document, after a change, is not of its form, and what is wrong there; "" where it is."""
    found = next(iter(sorted(_validator().iter_errors(content), key=lambda each: each.json_path)), None)
    if found is None:
        hosts = [host["name"] for host in content["site"]["hosts"]]
        return next(
            (f"/{host}: the site has this host, and the document does not" for host in hosts if host not in content), ""
        )
    return f"/{'/'.join(str(part) for part in found.absolute_path)}: {found.message[:200]}"


def evidence_of(content: Mapping[str, Any], host: str) -> Evidence:
    """A host's evidence from the document: what its probes and its daemon would have answered."""
    mine, cluster = content[host], content["cluster"]
    links = [_link(name, row) for name, row in mine["links"].items()]
    addresses = [{"ifname": name, "addr_info": mine["addresses"].get(name, [])} for name in mine["links"]]
    blocks = ["\n".join(f"{k}={v}" for k, v in {"Id": name, **unit}.items()) for name, unit in mine["units"].items()]
    probes = {
        "units": Answer("systemctl show", 0, "\n\n".join(blocks)),
        "link": Answer("ip -j -d link show", 0, json.dumps(links)),
        "addr": Answer("ip -j -d addr show", 0, json.dumps(addresses)),
        "zpool-json": Answer("zpool status -j", 0, json.dumps({"pools": mine["zpools"]})),
        "zfs-created": Answer(
            "zfs list", 0, "".join(f"{name}\t{created}\n" for name, created in mine["created"].items())
        ),
        "zpool-list": Answer("zpool list -Hp", 0, "".join(_listed(name, row) for name, row in mine["usage"].items())),
    }
    probes |= {"nft": _ruleset(mine["nft"]), "fdb": _instance_ports(mine["fdb"])}
    if mine["frames"]:
        probes["frames"] = Answer("frames", 0, json.dumps(_frames(content, host)))
    probes |= {name: _answer(name, told) for name, told in mine["probes"].items()}
    api = {
        address: ApiAnswer(200, _named({**cluster[section], **mine["lists"].get(section, {})}))
        for address, section in _LISTS.items()
    }
    own = _merged({"environment": {"server_name": host}}, mine["server"])
    api[urls.SERVER] = ApiAnswer(200, _merged(cluster["server"], own))
    api[urls.WARNINGS] = ApiAnswer(200, [{**_WARNING, **row} for row in cluster["warnings"].values()])
    api[urls.OPERATIONS] = ApiAnswer(200, cluster["operations"])
    api[urls.IMAGES] = ApiAnswer(200, [{"fingerprint": key, **row} for key, row in cluster["images"].items()])
    api[urls.MEMBERS] = ApiAnswer(200, [{"server_name": name, **row} for name, row in cluster["members"].items()])
    for name in cluster["pools"]:
        api[urls.volumes_url(name)] = ApiAnswer(200, cluster["volumes"].get(name, []))
    for name, pool in cluster["pools"].items():
        api[urls.pool_url(name, host)] = ApiAnswer(200, {"name": name, **pool, **mine["pools"].get(name, {})})
    for name, network in cluster["networks"].items():
        api[urls.network_url(name, host)] = ApiAnswer(200, {"name": name, **network, **mine["networks"].get(name, {})})
    clustered = api[urls.SERVER].metadata["environment"].get("server_clustered")
    for name, resources in mine["resources"].items():
        api[urls.pool_resources_url(name, host if clustered else None)] = ApiAnswer(200, resources)
    for name, row in mine["failures"].items():
        for each in [each for each in probes if name in ("probes", each)]:  # "probes": all of them
            probes[each] = Answer(probes[each].command, failure=_failure(row))
        for address in [address for address in api if name in ("api", address)]:  # "api": the whole daemon
            api[address] = ApiAnswer(failure=_failure(row))
    lost = _failure(mine["failure"]) if mine["failure"] else None
    times = (mine["probed"][0], mine["probed"][1]) if mine["probed"] else None
    return Evidence(host, mine["collected"], 0.0, lost, {} if lost else probes, {} if lost else api, times)


def _answer(name: str, told: Any) -> Answer:
    """What a probe answered: its text, a JSON value, or ``{rc, stdout, stderr}`` of a command that failed."""
    if isinstance(told, Mapping) and "rc" in told:
        return Answer(name, told["rc"], told.get("stdout", ""), told.get("stderr", ""))
    return Answer(name, 0, told if isinstance(told, str) else json.dumps(told))


def _ruleset(chains: Mapping[str, Mapping[str, Any]]) -> Answer:
    """What nft lists: tables, then their chains, then the rules of these."""
    keys = {name: dict(zip(("family", "table", "name"), name.split(" "), strict=True)) for name in chains}
    tables = dict.fromkeys((key["family"], key["table"]) for key in keys.values())
    rows: list[dict[str, Any]] = [{"metainfo": {"json_schema_version": 1}}]
    rows += [{"table": {"family": family, "name": name}} for family, name in tables]
    rows += [
        {"chain": {**keys[name], **{k: v for k, v in row.items() if k != "rules"}}} for name, row in chains.items()
    ]
    for name, row in chains.items():
        at = {"family": keys[name]["family"], "table": keys[name]["table"], "chain": keys[name]["name"]}
        rows += [{"rule": {**at, "expr": rule}} for rule in row["rules"]]
    return Answer("nft -j list ruleset", 0, json.dumps({"nftables": rows}))


def _instance_ports(fdb_entries: Mapping[str, Mapping[str, str]]) -> Answer:
    """What bridge lists: an address of a link's own, and what was learned."""
    own = {"mac": "33:33:00:00:00:01", "ifname": "trunk", "flags": ["self"], "state": "permanent"}
    rows = [{"mac": mac, "flags": [], "state": "", **row} for mac, row in fdb_entries.items()]
    return Answer("bridge -j fdb show", 0, json.dumps([own, *rows]))


def _frames(content: Mapping[str, Any], host: str) -> dict[str, Any]:
    """What was sent from a host, as ``collect.frames`` keeps it, from ``"BRIDGE PORT": {"HOST PORT or NIC": {KIND: replies of 3}}``.

    Where nothing else is said the right MAC answers to ARP; ``arp`` is another one, or null. A text is why a namespace was not made.
    """
    names = [each["name"] for each in content["site"]["hosts"]]
    ports, paths = [], []
    for key, sent in content[host]["frames"].items():
        bridge, number = key.split(" ")
        near = {"bridge": bridge, "port": int(number)}
        subnet = content[host]["addresses"][bridge][0]["local"].rpartition(".")[0].rpartition(".")[0]
        address = f"{subnet}.200.{10 * names.index(host) + int(number)}"
        made = {"mac": "02:00:00:00:00:00", "address": address, "mtu": 1500, "tagged": False}
        ports.append({**near, "failure": sent} if isinstance(sent, str) else {**near, **made})
        for there, replies in {} if isinstance(sent, str) else sent.items():
            other, end = there.split(" ")
            own = names.index(other) * 10 + int(end) if end.isdigit() else 100
            far = {"host": other, "mac": f"02:00:00:00:00:{own:02}", "address": f"{subnet}.200.{own}"}
            far |= {"peer": int(end), "size": 1500} if end.isdigit() else {"instance": end}
            seen = replies.get("arp", far["mac"])
            lines = {
                kind: f"3 packets transmitted, {count} received, {100 - count * 100 // 3}% packet loss, time 404ms"
                for kind, count in replies.items()
                if kind != "arp"
            }
            neighbours = [{"dst": far["address"], "lladdr": seen, "state": ["REACHABLE"]}] if seen else []
            paths.append({**near, **far, "arp": json.dumps(neighbours), **lines})
    return {"ports": ports, "paths": paths}


def _merged(base: Mapping[str, Any], over: Mapping[str, Any]) -> dict[str, Any]:
    """A mapping with another laid over it, mappings within as well."""
    found = dict(base)
    for key, value in over.items():
        both = isinstance(value, Mapping) and isinstance(found.get(key), Mapping)
        found[key] = _merged(found[key], value) if both else value
    return found


def _link(name: str, row: Mapping[str, Any]) -> dict[str, Any]:
    """A row of ``ip -j -d link show``. A link that has a master is a port of a bridge, and forwards."""
    found = {"ifname": name, **_LINK, **row}
    if "master" in row:
        port = {"info_slave_kind": "bridge", "info_slave_data": {"state": "forwarding"}}
        found["linkinfo"] = {**port, **row.get("linkinfo", {})}
    return found


def _listed(name: str, row: Mapping[str, str]) -> str:
    """A line of ``zpool list -Hp``."""
    columns = (name, "1000", "400", "600", "-", "-", row["frag"], row["cap"], "1.00", "ONLINE", "-")
    return "\t".join(columns) + "\n"


def _failure(row: Mapping[str, str]) -> Failure:
    return Failure(FailureKind(row["kind"]), row["reason"])


def _named(rows: Mapping[str, Mapping[str, Any]]) -> list[dict[str, Any]]:
    return [{"name": name, **row} for name, row in rows.items()]


Small = tuple[Site, Mapping[str, HostFacts]]  # the document as a scan sees it


def facts_of(content: Mapping[str, Any]) -> Small:
    """The site of the document, and the facts of its hosts."""
    desired = site_file.parse(content["site"])
    return desired, {
        each.name: HostFacts(each.name, each.member, evidence_of(content, each.name)) for each in desired.hosts
    }


@cache
def unchanged() -> Small:
    return facts_of(document())


def findings(content: Mapping[str, Any], policies: Sequence[Policy], checks: Mapping[str, Check]) -> dict[str, Finding]:
    """What some policies find in the document, by id."""
    return {finding.id: finding for finding in evaluate(policies, checks, *facts_of(content))}
