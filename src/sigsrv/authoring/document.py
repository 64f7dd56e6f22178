"""The example document: small evidence of two hosts, which examples and cases change."""

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
from sigsrv.model.errors import FailureKind, UsageError
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


# The errors of a change that can't be applied, and of a changed document that can't be read.
UNUSABLE = (
    jsonpatch.JsonPatchException,
    jsonpatch.JsonPointerException,
    LookupError,
    TypeError,
    ValueError,
    AttributeError,
    UsageError,
)


@cache
def _document() -> str:
    """Read the document as JSON, once per process. In JSON, YAML aliases become copies, so a change stays on its host."""
    text = (data.folder("policies") / "examples.yaml").read_text(encoding="utf-8")
    return json.dumps(yaml.load(text, Loader=getattr(yaml, "CSafeLoader", yaml.SafeLoader)))  # noqa: S506


def document() -> dict[str, Any]:
    """Return a new copy of the example document: ``site``, ``cluster`` and one entry per host."""
    found = json.loads(_document())
    assert isinstance(found, dict)
    return found


def patched(change: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
    """Return a copy of the document with a change (JSON Patch) applied.

    Raises one of ``UNUSABLE`` if the change can't be applied.
    """
    own = copy.deepcopy(change)  # the patched document shares objects with the patch
    found = jsonpatch.apply_patch(document(), own, in_place=True)
    if not isinstance(found, dict):
        raise TypeError("the changed document is not a mapping")
    return found


@cache
def _validator() -> jsonschema.Draft202012Validator:
    return jsonschema.Draft202012Validator(yamlfile.schema("examples"))


def schema_error(content: Mapping[str, Any]) -> str:
    """Return where a changed document breaks its schema, and how; "" if it is valid."""
    found = next(iter(sorted(_validator().iter_errors(content), key=lambda each: each.json_path)), None)
    if found is None:
        hosts = [host["name"] for host in content["site"]["hosts"]]
        return next(
            (f"/{host}: this host is in the site, but not in the document" for host in hosts if host not in content), ""
        )
    return f"/{'/'.join(str(part) for part in found.absolute_path)}: {found.message[:200]}"


def evidence_of(content: Mapping[str, Any], host: str) -> Evidence:
    """Build the evidence of a host from the document: the answers of its probes and its daemon."""
    mine, cluster = content[host], content["cluster"]
    links = [_link(name, row) for name, row in mine["links"].items()]
    addresses = [{"ifname": name, "addr_info": mine["addresses"].get(name, [])} for name in mine["links"]]
    blocks = ["".join(f"{k}={v}\n" for k, v in {"Id": name, **unit}.items()) for name, unit in mine["units"].items()]
    probes = {
        "units": Answer("systemctl show", 0, "\n".join(blocks)),
        "link": Answer("ip -j -d link show", 0, json.dumps(links)),
        "addr": Answer("ip -j -d addr show", 0, json.dumps(addresses)),
        "zpool-json": Answer("zpool status -j", 0, json.dumps({"pools": mine["zpools"]})),
        "zfs-created": Answer(
            "zfs list", 0, "".join(f"{name}\t{created}\n" for name, created in mine["created"].items())
        ),
        "zpool-list": Answer("zpool list -Hp", 0, "".join(_listed(name, row) for name, row in mine["usage"].items())),
    }
    probes |= {"nft": _ruleset(mine["nft"]), "fdb": _fdb_output(mine["fdb"])}
    if mine["frames"]:
        probes["frames"] = Answer("frames", 0, json.dumps(_frames_output(content, host)))
    probes |= {name: _answer(name, content) for name, content in mine["probes"].items()}
    api = {
        address: ApiAnswer(200, _as_list({**cluster[section], **mine["lists"].get(section, {})}))
        for address, section in _LISTS.items()
    }
    own = merged({"environment": {"server_name": host}}, mine["server"])
    api[urls.SERVER] = ApiAnswer(200, merged(cluster["server"], own))
    api[urls.WARNINGS] = ApiAnswer(200, [{**_WARNING, **row} for row in cluster["warnings"].values()])
    api[urls.OPERATIONS] = ApiAnswer(200, cluster["operations"])
    api[urls.IMAGES] = ApiAnswer(200, [{"fingerprint": key, **row} for key, row in cluster["images"].items()])
    api[urls.MEMBERS] = ApiAnswer(200, [{"server_name": name, **row} for name, row in cluster["members"].items()])
    if "address_sets" in cluster:
        api[urls.ADDRESS_SETS] = ApiAnswer(200, _as_list(cluster["address_sets"]))
    if "zones" in cluster:
        api[urls.ZONES] = ApiAnswer(200, _as_list(cluster["zones"]))
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


def _answer(name: str, content: Any) -> Answer:
    """Build the answer of a probe from its text, a JSON value, or ``{rc, stdout, stderr}`` of a failed command."""
    if isinstance(content, Mapping) and "rc" in content:
        return Answer(name, content["rc"], _ended(content.get("stdout", "")), content.get("stderr", ""))
    return Answer(name, 0, _ended(content if isinstance(content, str) else json.dumps(content)))


def _ended(output: str) -> str:
    """Return an output with the newline at its end that each command writes; an author may leave it out."""
    return output if not output or output.endswith(("\n", "\0")) else f"{output}\n"


def _ruleset(chains: Mapping[str, Mapping[str, Any]]) -> Answer:
    """Build the output of nft: tables, then their chains, then the rules of the chains."""
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


def _fdb_output(fdb_entries: Mapping[str, Mapping[str, str]]) -> Answer:
    """Build the output of bridge(8): one address of a link itself, then the learned addresses."""
    own = {"mac": "33:33:00:00:00:01", "ifname": "trunk", "flags": ["self"], "state": "permanent"}
    rows = [{"mac": mac, "flags": [], "state": "", **row} for mac, row in fdb_entries.items()]
    return Answer("bridge -j fdb show", 0, json.dumps([own, *rows]))


def _frames_output(content: Mapping[str, Any], host: str) -> dict[str, Any]:
    """Build the ``frames`` evidence of a host, in the format of ``collect.frames``.

    The document has ``"BRIDGE PORT": {"HOST PORT" or "HOST NIC": {KIND: replies out of 3}}``. By default, the correct MAC
    answers ARP; ``arp`` is a different MAC, or null for no answer. A text in place of the mapping is the reason why the
    namespace was not created.
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


def merged(base: Mapping[str, Any], over: Mapping[str, Any]) -> dict[str, Any]:
    """Merge two mappings recursively; ``over`` wins."""
    found = dict(base)
    for key, value in over.items():
        both = isinstance(value, Mapping) and isinstance(found.get(key), Mapping)
        found[key] = merged(found[key], value) if both else value
    return found


def _link(name: str, row: Mapping[str, Any]) -> dict[str, Any]:
    """Build a row of ``ip -j -d link show``. A link with a master is a bridge port in state forwarding."""
    found = {"ifname": name, **_LINK, **row}
    if "master" in row:
        port = {"info_slave_kind": "bridge", "info_slave_data": {"state": "forwarding"}}
        found["linkinfo"] = {**port, **row.get("linkinfo", {})}
    return found


def _listed(name: str, row: Mapping[str, str]) -> str:
    """Build a line of ``zpool list -Hp``."""
    columns = (name, "1000", "400", "600", "-", "-", row["frag"], row["cap"], "1.00", "ONLINE", "-")
    return "\t".join(columns) + "\n"


def _failure(row: Mapping[str, str]) -> Failure:
    return Failure(FailureKind(row["kind"]), row["reason"])


def _as_list(rows: Mapping[str, Mapping[str, Any]]) -> list[dict[str, Any]]:
    return [{"name": name, **row} for name, row in rows.items()]


SiteFacts = tuple[Site, Mapping[str, HostFacts]]  # a document as a scan sees it: its site, and facts by host


def facts_of(content: Mapping[str, Any]) -> SiteFacts:
    """Return the site of a document and the facts of its hosts."""
    desired = site_file.parse(content["site"])
    return desired, {
        each.name: HostFacts(each.name, each.member, evidence_of(content, each.name)) for each in desired.hosts
    }


@cache
def example_facts() -> SiteFacts:
    return facts_of(document())


def findings(content: Mapping[str, Any], policies: Sequence[Policy], checks: Mapping[str, Check]) -> dict[str, Finding]:
    """Evaluate policies on a document; return the findings by id."""
    return {finding.id: finding for finding in evaluate(policies, checks, *facts_of(content))}
