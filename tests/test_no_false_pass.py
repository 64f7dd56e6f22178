"""Tests that missing or damaged evidence never turns a fault into a pass.

Each violating example of each policy gives the evidence of a fault. An attack removes or replaces one part that the policy asked for: a
probe, an API answer, or a key in one of its rows. It attacks all hosts, or one host only.
"""

from __future__ import annotations

import copy
import dataclasses
import json
import zlib
from collections.abc import Callable, Iterator, Mapping
from functools import partial
from typing import Any

import jsonpatch
import pytest

from sigsrv.authoring import document, examples
from sigsrv.collect import urls
from sigsrv.collect.evidence import Answer, ApiAnswer, Evidence, Failure
from sigsrv.facts.hosts import HostFacts
from sigsrv.judge.checks import load_checks
from sigsrv.judge.evaluate import _judge_each as evaluate_without_roots
from sigsrv.judge.evaluate import evaluate_one
from sigsrv.judge.require import NEVER_FAIL
from sigsrv.model import data, policy, site_file
from sigsrv.model.errors import FailureKind
from sigsrv.model.finding import Finding, Verdict
from sigsrv.model.site import Site

POLICIES = policy.load()
CHECKS = load_checks(data.folder("checks"))
SHARE = 30  # runs one in this many attacks; the name of the attack decides
REFUSED = Failure(FailureKind.DENIED, "refused")
VALUES: tuple[Any, ...] = (None, "", [], {}, 7, True, "x", [7], {"x": 7})

# These may be empty in a complete answer. Any other value that is empty or null means that a part is missing.
CONFIGURATIONS = frozenset({"config", "expanded_config", "devices", "expanded_devices", "properties"})
LISTS = frozenset({"roles", "projects", "locations", "profiles", "used_by", "snapshots", "ingress", "egress"})
NONE_OF_A_KIND = frozenset(
    {
        urls.WARNINGS,
        urls.NETWORKS,
        urls.NETWORK_ACLS,
        urls.POOLS,
        urls.INSTANCES,
        urls.CERTIFICATES,
        urls.IMAGES,
        urls.PROFILES,
        urls.volumes_url("nvme"),
    }
)
LEFT_OUT = frozenset({"update_source", "used"})  # keys that Incus omits if they have no value
LOOKS_COMPLETE = frozenset({"arcstats", "reboot"})  # a truncated answer looks complete
EMPTY_OUTPUT_IS_VALID = frozenset({"journal", "failed-units", "listen", "packages", "backups"})

Hosts = Mapping[str, Evidence]
Path = tuple[Any, ...]
MakeAnswer = Callable[[], Answer | ApiAnswer | None]
Place = tuple[str, str]  # "probes" and the id of a probe, or "api" and a URL without its member


class RecordingDict(dict[str, Any]):
    """A dict that records which of its keys were requested."""

    def __init__(self, content: Mapping[str, Any]) -> None:
        super().__init__(content)
        self.requested: list[str] = []

    def get(self, key: str, default: Any = None) -> Any:
        if key in self and key not in self.requested:
            self.requested.append(key)
        return super().get(key, default)


def findings_of(policy_id: str, desired: Site, facts: Mapping[str, HostFacts]) -> dict[str, Finding]:
    """Return the findings of a policy by id. Root findings are not checked here, because that needs all policies.

    A finding that the check judged, although another one reports the cause, has its own verdict.
    """
    found = evaluate_without_roots([POLICIES[policy_id]], CHECKS, desired, facts, [])
    return {each.id: each.own or each for each in found}


def facts_of(desired: Site, hosts: Hosts, known: Mapping[str, HostFacts] | None = None) -> dict[str, HostFacts]:
    """Return the facts of the hosts. Facts in ``known`` are reused if the evidence of their host is unchanged."""
    found = {}
    for each in desired.hosts:
        kept = (known or {}).get(each.name)
        of_old = kept is not None and kept.evidence is hosts[each.name]
        found[each.name] = kept if kept and of_old else HostFacts(each.name, each.member, hosts[each.name])
    return found


def violating_document(policy_id: str, index: int) -> dict[str, Any]:
    """Return the document of a violating example."""
    of, content = POLICIES[policy_id], document.document()
    example = of.examples["violating"][index]
    if of.rule is None:
        patched = jsonpatch.apply_patch(content, copy.deepcopy(example["change"]), in_place=True)
        assert isinstance(patched, dict)
        return patched
    content["site"]["exempt"] = {}
    rows = content["minisrv"]["links"] if of.examines == "bridge" else content["cluster"][_ROWS[of.examines]]
    rows[example["name"]] = document.merged(next(iter(rows.values())), example)
    return content


# Where the example document has the resources that a rule can examine.
_ROWS = {"acl": "network_acls"} | {
    kind: f"{kind}s" for kind in ("project", "network", "instance", "image", "certificate", "member", "volume", "pool")
}


def evidence_of(content: Mapping[str, Any]) -> dict[str, Evidence]:
    """Return the evidence of the document's hosts, which records what is requested from it."""
    found = {}
    for each in content["site"]["hosts"]:
        seen = document.evidence_of(content, each["name"])
        found[each["name"]] = dataclasses.replace(seen, probes=RecordingDict(seen.probes), api=RecordingDict(seen.api))
    return found


def requested_places(hosts: Hosts) -> dict[Place, dict[str, str]]:
    """Return the places that were requested on any host, each with its key in the evidence of each host."""
    wholes = [
        (part, host, content) for host, e in hosts.items() for part, content in (("probes", e.probes), ("api", e.api))
    ]
    asked = {(part, place_of(key)) for part, _, content in wholes for key in content.requested}  # type: ignore[attr-defined]
    found: dict[Place, dict[str, str]] = {place: {} for place in sorted(asked)}
    for part, host, content in wholes:
        for key in content:
            if (part, place_of(key)) in asked:
                found[part, place_of(key)][host] = key
    return found


def place_of(key: str) -> str:
    """Return the id of a probe, or a URL without its member."""
    return key.partition("?target=")[0]


def key_paths(value: Any, at: Path = ()) -> Iterator[Path]:
    """Yield the path to each key of an answer. A configuration gets a single path, because its keys are optional."""
    if isinstance(value, list):
        for index, item in enumerate(value):
            yield from key_paths(item, (*at, index))
    elif isinstance(value, Mapping):
        for key, item in value.items():
            yield (*at, key)
            if key not in CONFIGURATIONS:
                yield from key_paths(item, (*at, key))


def at(value: Any, path: Path) -> Any:
    for key in path:
        value = value[key]
    return value


def without(value: Any, path: Path) -> ApiAnswer:
    found = copy.deepcopy(value)
    del at(found, path[:-1])[path[-1]]
    return ApiAnswer(200, found)


def with_other(value: Any, path: Path, other: Any) -> ApiAnswer:
    if not path:
        return ApiAnswer(200, other)
    found = copy.deepcopy(value)
    at(found, path[:-1])[path[-1]] = other
    return ApiAnswer(200, found)


def may_be_left_out(path: Path) -> bool:
    """Return whether an answer without this key is complete. In an ACL rule, all keys that narrow it are optional."""
    narrows = {"ingress", "egress"} & set(path[:-1]) and path[-1] not in ("action", "state")
    return bool(narrows) or path[-1] in LEFT_OUT


def empty_is_valid(address: str, path: Path, other: Any) -> bool:
    """Return whether an empty value is a complete answer."""
    if address == urls.OPERATIONS and len(path) < 2:
        return other in ({}, [])  # no operation runs
    if not path:
        return other == [] and address in NONE_OF_A_KIND
    if path[-1] in CONFIGURATIONS:
        return bool(other == {})
    if address == urls.CERTIFICATES and path[-1] == "name":
        return other == ""  # a certificate may have no name
    if may_be_left_out(path):
        return other == "" or (other is None and path[-1] in LEFT_OUT)
    return path[-1] in LISTS and other in (None, [])


def damaged_probe_answers(probe: str, answer: Answer) -> Iterator[tuple[str, MakeAnswer]]:
    """Yield each attack on the answer of a probe: its name, and a function that makes the damaged answer.

    The function returns None if the attack is that the probe did not run.
    """
    yield "gone", lambda: None
    yield "refused", lambda: Answer(answer.command, failure=REFUSED)
    yield "rc 1", lambda: Answer(answer.command, 1, "", "it broke")
    cut = () if probe in LOOKS_COMPLETE else (answer.stdout[: len(answer.stdout) // 2], answer.stdout[:-2])
    for text in ("", "\n", "null", "[]", "{}", "?", *cut):
        if text != answer.stdout and (text.strip() or probe not in EMPTY_OUTPUT_IS_VALID):
            yield f"{text!r:.30}", partial(Answer, answer.command, 0, text)


def damaged_api_answers(address: str, answer: ApiAnswer) -> Iterator[tuple[str, MakeAnswer]]:
    """Yield each attack on the API answer of a URL, as ``damaged_probe_answers`` does."""
    yield "gone", lambda: None
    yield "refused", lambda: ApiAnswer(403, failure=REFUSED)
    for path in ((), *key_paths(answer.metadata)):
        where = "/".join(map(str, path))
        if path and not (may_be_left_out(path) or (address == urls.OPERATIONS and len(path) == 1)):
            yield f"{where} gone", partial(without, answer.metadata, path)
        now = at(answer.metadata, path)
        for other in VALUES:
            empty = other in ("", [], {}) and now
            if (type(other) is not type(now) or empty) and not empty_is_valid(address, path, other):
                yield f"{where} is {json.dumps(other)}", partial(with_other, answer.metadata, path, other)


def attacks(name: str, hosts: Hosts, share: int, only: str = "") -> Iterator[tuple[str, Hosts]]:
    """Yield the name of each attack, and evidence with that single change. only: the place to attack, "" for all."""
    for (part, place), keys in requested_places(hosts).items():
        if only not in ("", place):
            continue
        damaged: Callable[..., Iterator[tuple[str, MakeAnswer]]] = (
            damaged_probe_answers if part == "probes" else damaged_api_answers
        )
        wholes = {host: getattr(hosts[host], part) for host in keys}
        for attacked in [tuple(keys), *([(host,) for host in keys] if len(keys) > 1 else [])]:
            each = {host: dict(damaged(keys[host], wholes[host][keys[host]])) for host in attacked}
            for label in dict.fromkeys(label for ways in each.values() for label in ways):
                attack = f"{name}: {place} of {' and '.join(attacked)}: {label}"
                if zlib.crc32(attack.encode()) % share:
                    continue
                if place == "frames" and label == "gone" and len(attacked) == len(hosts):
                    continue  # this is evidence of a scan without --probe; a test below covers it
                found = dict(hosts)
                for host in attacked:
                    rest = {key: answer for key, answer in wholes[host].items() if key != keys[host]}
                    make = each[host].get(label)
                    answer = make() if make else wholes[host][keys[host]]
                    content = rest if answer is None else {**rest, keys[host]: answer}
                    found[host] = dataclasses.replace(hosts[host], **{part: content})
                yield attack, found


def reports_problem(found: Finding) -> bool:
    """Return whether a finding is a failure or an error, or points to another finding that is."""
    return found.verdict in (Verdict.FAIL, Verdict.ERROR) or bool(found.because)


def still_reported(was: Finding, before: Mapping[str, Finding], now: Mapping[str, Finding]) -> bool:
    """Return whether a failure is still reported, by its own finding, or by another one if its own is gone.

    An error of the whole host or cluster speaks for all its resources, also if it was there before.
    """
    if was.id in now:
        return reports_problem(now[was.id])
    return any(
        reports_problem(each)
        for key, each in now.items()
        if key not in before or before[key].verdict is not each.verdict or each.resource == each.host
    )


def hidden_faults(policy_id: str, share: int = SHARE, only: str = "") -> list[str]:
    """Return the attacks that hide a failure of a policy's violating examples, with its new verdict."""
    wrong = []
    for index, _ in enumerate(POLICIES[policy_id].examples["violating"]):
        content = violating_document(policy_id, index)
        desired, hosts = site_file.parse(content["site"]), evidence_of(content)
        facts = facts_of(desired, hosts)
        before = findings_of(policy_id, desired, facts)
        failures = [found for found in before.values() if found.verdict is Verdict.FAIL or found.own]
        assert failures or policy_id in NEVER_FAIL
        for attack, damaged in attacks(f"{policy_id}[{index}]", hosts, share, only):
            now = findings_of(policy_id, desired, facts_of(desired, damaged, facts))
            for was in failures:
                if not still_reported(was, before, now):
                    found = now.get(was.id)
                    wrong.append(f"{attack}: {was.id} is {found.verdict if found else 'gone'}")
    return wrong


@pytest.mark.parametrize("policy_id", POLICIES)
def test_missing_or_damaged_evidence_never_makes_a_fault_pass(policy_id):
    """A failure stays a failure, becomes an error, or points to another finding. It never passes, and never disappears."""
    assert hidden_faults(policy_id) == []


@pytest.mark.parametrize("policy_id", ["XHOST-004", "ACL-006"])
def test_missing_or_damaged_frames_never_make_a_fault_pass(policy_id):
    """This runs all attacks on the frames of ``--probe``, not a sample: on all hosts, and on one."""
    assert hidden_faults(policy_id, share=1, only="frames") == []


def with_frames(policy_id: str) -> Iterator[tuple[Site, dict[str, Evidence]]]:
    """Yield the evidence of each example of a policy, compliant or violating, in which both hosts sent frames."""
    for _, _, example in examples.each_example(POLICIES[policy_id]):
        content = jsonpatch.apply_patch(document.document(), copy.deepcopy(example["change"]))
        hosts = evidence_of(content)
        if all("frames" in seen.probes for seen in hosts.values()):
            yield site_file.parse(content["site"]), hosts


@pytest.mark.parametrize("policy_id", ["XHOST-004", "ACL-006"])
def test_damaged_frames_never_give_a_pass(policy_id):
    """This applies even if all frames passed: without valid frames of both hosts, the result is unknown."""
    for desired, hosts in with_frames(policy_id):
        before = findings_of(policy_id, desired, facts_of(desired, hosts))
        for attack, damaged in attacks(policy_id, hosts, 1, "frames"):
            now = findings_of(policy_id, desired, facts_of(desired, damaged))
            passed = [key for key, found in now.items() if found.verdict is Verdict.PASS]
            assert passed == [], attack
        assert before


def test_evidence_without_frames_is_evaluated_like_a_scan_without_probe():
    """XHOST-004 does not pass, and ACL-006 evaluates the configuration."""
    for policy_id in ("XHOST-004", "ACL-006"):
        for desired, hosts in with_frames(policy_id):
            rest = {
                host: dataclasses.replace(seen, probes={k: v for k, v in seen.probes.items() if k != "frames"})
                for host, seen in hosts.items()
            }
            found = findings_of(policy_id, desired, facts_of(desired, rest)).values()
            assert policy_id != "XHOST-004" or Verdict.PASS not in {each.verdict for each in found}
            assert not any("shown: " in each.observed or "no frame" in each.observed for each in found)


# Findings that may pass without some evidence of their policy, because it concerns other resources: (policy, place) -> resources.
MAY_PASS = {
    ("AUTH-003", urls.CERTIFICATES): ("515dac1a8032",),  # the hosts' daemons show this certificate themselves
    ("AUTH-003", urls.WARNINGS): (
        "515dac1a8032",
    ),  # proves that the trust store is whole, which does not concern this certificate
    ("ACL-002", urls.INSTANCES): (
        "default/system-base",
        "default/user-isolate",
    ),  # networks name them; NICs may name more
    ("ACL-002", urls.PROJECTS): ("default/system-base", "default/user-isolate"),
    ("ACL-002", urls.NETWORKS): ("default/user-isolate",),  # the site file lists it
    ("ACL-004", urls.INSTANCES): ("default/system-base", "default/user-isolate"),
    ("ACL-004", urls.PROJECTS): ("default/system-base", "default/user-isolate"),
    ("HOST-005", "arcstats"): ("sigsrv", "minisrv"),  # it can only increase the free memory
    ("INST-011", urls.PROFILES): ("default/db",),  # it has no NIC
    ("INST-011", urls.PROJECTS): ("default/db",),
    ("PROJ-006", urls.POOLS): ("default", "user-john"),  # the disks of their instances name the pools
    ("PROJ-007", urls.INSTANCES): ("user-john",),  # its profiles
    ("CLUS-002", urls.MEMBERS): (
        "sigsrv",
        "minisrv",
    ),  # their versions; the list shows members that are no hosts of the site
    ("CLUS-002", urls.WARNINGS): ("sigsrv", "minisrv"),  # it proves that the list of members is whole
    ("NET-003", "link"): ("sigsrvbr0", "userbr0"),  # their addresses; the list of links only counts what is left out
    ("NET-008", "link"): ("sigsrvbr0", "userbr0"),
    ("NET-007", "addr"): ("cluster",),  # the findings of the cluster are about the configuration
    ("NET-007", "link"): ("cluster",),
    ("NET-008", "units"): ("userbr0",),  # Incus attaches its VLAN interface
    ("POOL-003", "zpool-json"): ("iso",),  # driver dir, not zfs
    ("POOL-003", "zpool-list"): ("iso",),
    ("PROJ-006", urls.PROFILES): ("default", "user-john"),  # findings about features; those of volumes are errors
    ("PROJ-006", urls.volumes_url("nvme")): ("default", "user-john"),
    ("PROJ-006", urls.volumes_url("iso")): ("default", "user-john"),
    ("XHOST-003", "bridge-nf"): ("sigsrvbr0", "userbr0"),  # the loaded rules of a network are compared by themselves
    ("PROJ-008", urls.INSTANCES): ("user-john",),  # the site file lists it
}
WITH_OWN_URL = ("sigsrvbr0", "userbr0", "nvme", "iso")  # resources with their own URLs


def may_pass(found: Finding, place: str) -> bool:
    """Return whether a finding may pass because the missing evidence concerns other resources."""
    if place == urls.SERVER:  # requested only to identify the daemon
        return POLICIES[found.policy].on_hosts or found.policy == "XHOST-001"
    if {found.resource, found.host} & set(MAY_PASS.get((found.policy, place), ())):
        return True
    named = [name for name in WITH_OWN_URL if f"/{name}" in place]
    return bool(named) and not any(name in found.resource for name in named)


@pytest.mark.parametrize("policy_id", POLICIES)
def test_no_policy_passes_without_the_evidence_that_it_uses(policy_id):
    """The evidence complies, but one part was not collected. The resources that it concerns must not pass."""
    content = document.document()
    desired, hosts = site_file.parse(content["site"]), evidence_of(content)
    before = findings_of(policy_id, desired, facts_of(desired, hosts))

    for (part, place), keys in requested_places(hosts).items():
        rest = {host: {k: v for k, v in getattr(hosts[host], part).items() if k != key} for host, key in keys.items()}
        remaining = {
            host: dataclasses.replace(hosts[host], **{part: rest[host]}) if host in rest else hosts[host]
            for host in hosts
        }
        now = findings_of(policy_id, desired, facts_of(desired, remaining))
        assert [
            key for key, found in now.items() if found.verdict is Verdict.PASS and not may_pass(found, place)
        ] == [], place
        assert any(reports_problem(found) for found in now.values()) or {
            key: found.verdict for key, found in before.items()
        } == {key: found.verdict for key, found in now.items()}, place


def make_standalone(content: dict[str, Any]) -> dict[str, Any]:
    """Change the document so that both hosts are standalone. Values of a member then belong in the host's own lists."""
    cluster = content["cluster"]
    cluster["server"]["environment"]["server_clustered"] = False
    for rows in (cluster["networks"], cluster["pools"]):
        for row in rows.values():
            row["locations"] = None
    warnings, instances = cluster["warnings"].values(), cluster["instances"].values()
    held = [row for rows in (*cluster["volumes"].values(), *cluster["operations"].values()) for row in rows]
    for row in (*warnings, *instances, *held):
        row["location"] = "none"
    for host in [content[each["name"]] for each in content["site"]["hosts"]]:
        host["failures"][urls.MEMBERS] = {"kind": "garbled", "reason": "this server isn't clustered"}
        for section in ("networks", "pools"):
            own = {name: {**cluster[section][name], **row} for name, row in host[section].items()}
            host["lists"][section] = {**own, **host["lists"].get(section, {})}
    return content


@pytest.mark.parametrize("policy_id", POLICIES)
def test_fault_in_a_cluster_is_a_fault_on_standalone_hosts(policy_id):
    """Standalone hosts list only their own resources, and have no members. ``cluster_only`` marks examples of clusters."""
    faults = {Verdict.FAIL, Verdict.ERROR} if policy_id in NEVER_FAIL else {Verdict.FAIL}
    for index, example in enumerate(POLICIES[policy_id].examples["violating"]):
        content = make_standalone(violating_document(policy_id, index))
        desired = site_file.parse(content["site"])
        found = evaluate_one(POLICIES[policy_id], POLICIES, CHECKS, desired, facts_of(desired, evidence_of(content)))
        fails = bool(faults & {each.verdict for each in found})
        assert fails is not example.get("cluster_only", False), example["name"]
