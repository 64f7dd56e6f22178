"""No false pass: what is taken away from the evidence of a fault, or spoilt in it, never makes the fault a pass.

Each violating example of each policy gives the evidence of a fault. An attack takes away one thing that the policy asked for, or puts
something else in its place: a probe, an answer of the daemon, a key in one of its rows; on each host, or on one alone.
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
from sigsrv.judge.evaluate import _judge_each as unsettled
from sigsrv.judge.require import REACHABLE
from sigsrv.model import data, policy, site_file
from sigsrv.model.errors import FailureKind
from sigsrv.model.finding import Finding, Verdict
from sigsrv.model.site import Site

POLICIES = policy.load()
CHECKS = load_checks(data.folder("checks"))
SHARE = 30  # one attack of so many is made; which ones depends on their names alone
REFUSED = Failure(FailureKind.DENIED, "refused")
VALUES: tuple[Any, ...] = (None, "", [], {}, 7, True, "x", [7], {"x": 7})

# What is empty and says so. Whatever else is empty, or null, has a part missing.
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
LEFT_OUT = frozenset({"update_source", "used"})  # keys that Incus leaves out where there is no such thing
CUT_UNSEEN = frozenset({"arcstats", "reboot"})  # text that is less, cut off, and looks like all
NO_LINE = frozenset({"journal", "failed-units", "listen", "packages", "backups"})

Hosts = Mapping[str, Evidence]
Path = tuple[Any, ...]
Make = Callable[[], Answer | ApiAnswer | None]
MountPoint = tuple[str, str]  # "probes" or "api", and the probe's id, or the URL without the member in it


class Asked(dict[str, Any]):
    """A mapping that remembers which of its keys were asked for."""

    def __init__(self, content: Mapping[str, Any]) -> None:
        super().__init__(content)
        self.keys_asked: list[str] = []

    def get(self, key: str, default: Any = None) -> Any:
        if key in self and key not in self.keys_asked:
            self.keys_asked.append(key)
        return super().get(key, default)


def judged(policy_id: str, desired: Site, facts: Mapping[str, HostFacts]) -> dict[str, Finding]:
    """What a policy finds, by id. An excuse counts here as it stands: whether it holds is settled among all policies."""
    return {found.id: found for found in unsettled([POLICIES[policy_id]], CHECKS, desired, facts)}


def facts_of(desired: Site, hosts: Hosts, known: Mapping[str, HostFacts] | None = None) -> dict[str, HostFacts]:
    """The facts of the hosts; those of a host whose evidence is the one that is known are not read again."""
    found = {}
    for each in desired.hosts:
        kept = (known or {}).get(each.name)
        of_old = kept is not None and kept.evidence is hosts[each.name]
        found[each.name] = kept if kept and of_old else HostFacts(each.name, each.member, hosts[each.name])
    return found


def of_fault(policy_id: str, index: int) -> dict[str, Any]:
    """The document of a violating example."""
    of, content = POLICIES[policy_id], document.document()
    example = of.examples["violating"][index]
    if of.rule is None:
        patched = jsonpatch.apply_patch(content, copy.deepcopy(example["change"]), in_place=True)
        assert isinstance(patched, dict)
        return patched
    content["site"]["exempt"] = {}
    content["cluster"][f"{of.examines}s"][example["name"]] = example
    return content


def evidence_of(content: Mapping[str, Any]) -> dict[str, Evidence]:
    """The evidence of the document's hosts, which remembers what is asked of it."""
    found = {}
    for each in content["site"]["hosts"]:
        seen = document.evidence_of(content, each["name"])
        found[each["name"]] = dataclasses.replace(seen, probes=Asked(seen.probes), api=Asked(seen.api))
    return found


def places_asked(hosts: Hosts) -> dict[MountPoint, dict[str, str]]:
    """What was asked for on any host: each place with the key that it has in the evidence of each host."""
    wholes = [
        (part, host, content) for host, e in hosts.items() for part, content in (("probes", e.probes), ("api", e.api))
    ]
    asked = {(part, place_of(key)) for part, _, content in wholes for key in content.keys_asked}  # type: ignore[attr-defined]
    found: dict[MountPoint, dict[str, str]] = {place: {} for place in sorted(asked)}
    for part, host, content in wholes:
        for key in content:
            if (part, place_of(key)) in asked:
                found[part, place_of(key)][host] = key
    return found


def place_of(key: str) -> str:
    """A probe's id, or a URL without the member in it."""
    return key.partition("?target=")[0]


def keys_in(value: Any, at: Path = ()) -> Iterator[Path]:
    """The way to each key of an answer; of a configuration, whose keys may be there or not, to the whole of it alone."""
    if isinstance(value, list):
        for index, item in enumerate(value):
            yield from keys_in(item, (*at, index))
    elif isinstance(value, Mapping):
        for key, item in value.items():
            yield (*at, key)
            if key not in CONFIGURATIONS:
                yield from keys_in(item, (*at, key))


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
    """Whether an answer without a key is whole; in a rule of an ACL that is whatever narrows it."""
    narrows = {"ingress", "egress"} & set(path[:-1]) and path[-1] not in ("action", "state")
    return bool(narrows) or path[-1] in LEFT_OUT


def says_so(address: str, path: Path, other: Any) -> bool:
    """Whether a value that is empty is an answer, and not a part of one."""
    if address == urls.OPERATIONS and len(path) < 2:
        return other in ({}, [])  # nothing is done
    if not path:
        return other == [] and address in NONE_OF_A_KIND
    if path[-1] in CONFIGURATIONS:
        return bool(other == {})
    if address == urls.CERTIFICATES and path[-1] == "name":
        return other == ""  # nobody named it
    if may_be_left_out(path):
        return other == "" or (other is None and path[-1] in LEFT_OUT)
    return path[-1] in LISTS and other in (None, [])


def spoilt_probe(probe: str, answer: Answer) -> Iterator[tuple[str, Make]]:
    """Each attack on what a probe answered: its name, and what makes it; None: nobody asked it."""
    yield "gone", lambda: None
    yield "refused", lambda: Answer(answer.command, failure=REFUSED)
    yield "rc 1", lambda: Answer(answer.command, 1, "", "it broke")
    cut = () if probe in CUT_UNSEEN else (answer.stdout[: len(answer.stdout) // 2], answer.stdout[:-2])
    for text in ("", "\n", "null", "[]", "{}", "?", *cut):
        if text != answer.stdout and (text.strip() or probe not in NO_LINE):
            yield f"{text!r:.30}", partial(Answer, answer.command, 0, text)


def spoilt_api(address: str, answer: ApiAnswer) -> Iterator[tuple[str, Make]]:
    """Each attack on what the daemon answered to a URL, as ``spoilt_probe``."""
    yield "gone", lambda: None
    yield "refused", lambda: ApiAnswer(403, failure=REFUSED)
    for path in ((), *keys_in(answer.metadata)):
        where = "/".join(map(str, path))
        if path and not (may_be_left_out(path) or (address == urls.OPERATIONS and len(path) == 1)):
            yield f"{where} gone", partial(without, answer.metadata, path)
        now = at(answer.metadata, path)
        for other in VALUES:
            empty = other in ("", [], {}) and now
            if (type(other) is not type(now) or empty) and not says_so(address, path, other):
                yield f"{where} is {json.dumps(other)}", partial(with_other, answer.metadata, path, other)


def attacks(name: str, hosts: Hosts, share: int, only: str = "") -> Iterator[tuple[str, Hosts]]:
    """The evidence with one thing wrong in it, by the attack's name. only: the one place that is attacked; "": each."""
    for (part, place), keys in places_asked(hosts).items():
        if only not in ("", place):
            continue
        spoilt: Callable[..., Iterator[tuple[str, Make]]] = spoilt_probe if part == "probes" else spoilt_api
        wholes = {host: getattr(hosts[host], part) for host in keys}
        for attacked in [tuple(keys), *([(host,) for host in keys] if len(keys) > 1 else [])]:
            each = {host: dict(spoilt(keys[host], wholes[host][keys[host]])) for host in attacked}
            for label in dict.fromkeys(label for ways in each.values() for label in ways):
                attack = f"{name}: {place} of {' and '.join(attacked)}: {label}"
                if zlib.crc32(attack.encode()) % share:
                    continue
                if place == "frames" and label == "gone" and len(attacked) == len(hosts):
                    continue  # evidence of a scan without --probe: see below
                found = dict(hosts)
                for host in attacked:
                    rest = {key: answer for key, answer in wholes[host].items() if key != keys[host]}
                    make = each[host].get(label)
                    answer = make() if make else wholes[host][keys[host]]
                    content = rest if answer is None else {**rest, keys[host]: answer}
                    found[host] = dataclasses.replace(hosts[host], **{part: content})
                yield attack, found


def told(found: Finding) -> bool:
    """Whether a finding says that something is wrong, unknown, or left to another finding that does not pass."""
    return found.verdict in (Verdict.FAIL, Verdict.ERROR) or bool(found.because)


def excused(was: Finding, before: Mapping[str, Finding], now: Mapping[str, Finding]) -> bool:
    """Whether it is still told of a failure: by its own finding, or by another where that is gone."""
    if was.id in now:
        return told(now[was.id])
    return any(told(each) for key, each in now.items() if key not in before or before[key].verdict is not each.verdict)


def passes(policy_id: str, share: int = SHARE, only: str = "") -> list[str]:
    """The attacks that a failure of a policy's violating examples does not survive, and what it becomes."""
    wrong = []
    for index, _ in enumerate(POLICIES[policy_id].examples["violating"]):
        content = of_fault(policy_id, index)
        desired, hosts = site_file.parse(content["site"]), evidence_of(content)
        facts = facts_of(desired, hosts)
        before = judged(policy_id, desired, facts)
        failures = [found for found in before.values() if found.verdict is Verdict.FAIL]
        assert failures or policy_id == "HOST-001"
        for attack, spoilt in attacks(f"{policy_id}[{index}]", hosts, share, only):
            now = judged(policy_id, desired, facts_of(desired, spoilt, facts))
            for was in failures:
                if not excused(was, before, now):
                    found = now.get(was.id)
                    wrong.append(f"{attack}: {was.id} is {found.verdict if found else 'gone'}")
    return wrong


@pytest.mark.parametrize("policy_id", POLICIES)
def test_nothing_that_is_missing_or_spoilt_makes_a_fault_pass(policy_id):
    """A failure stays one, or becomes unknown, or is left to another finding: it is never a pass, and never just gone."""
    assert passes(policy_id) == []


@pytest.mark.parametrize("policy_id", ["XHOST-004", "ACL-006"])
def test_frames_that_are_missing_or_spoilt_make_no_fault_pass(policy_id):
    """All attacks on what ``--probe`` showed, not a share of them: on each host, and on one alone."""
    assert passes(policy_id, share=1, only="frames") == []


def with_frames(policy_id: str) -> Iterator[tuple[Site, dict[str, Evidence]]]:
    """The evidence of each example of a policy, compliant or violating, in which frames were sent from both hosts."""
    for _, _, example in examples.each_example(POLICIES[policy_id]):
        content = jsonpatch.apply_patch(document.document(), copy.deepcopy(example["change"]))
        hosts = evidence_of(content)
        if all("frames" in seen.probes for seen in hosts.values()):
            yield site_file.parse(content["site"]), hosts


@pytest.mark.parametrize("policy_id", ["XHOST-004", "ACL-006"])
def test_what_frames_showed_is_never_a_pass_once_they_are_spoilt(policy_id):
    """Also where they showed that all is well: without them on one host, or with something else in their place, that is not known."""
    for desired, hosts in with_frames(policy_id):
        before = judged(policy_id, desired, facts_of(desired, hosts))
        for attack, spoilt in attacks(policy_id, hosts, 1, "frames"):
            now = judged(policy_id, desired, facts_of(desired, spoilt))
            passed = [key for key, found in now.items() if found.verdict is Verdict.PASS]
            assert passed == [], attack
        assert before


def test_evidence_without_frames_is_judged_as_that_of_a_scan_that_sent_none():
    """XHOST-004 says that nothing was shown; ACL-006 judges the configuration, as ever."""
    for policy_id in ("XHOST-004", "ACL-006"):
        for desired, hosts in with_frames(policy_id):
            rest = {
                host: dataclasses.replace(seen, probes={k: v for k, v in seen.probes.items() if k != "frames"})
                for host, seen in hosts.items()
            }
            found = judged(policy_id, desired, facts_of(desired, rest)).values()
            assert policy_id != "XHOST-004" or Verdict.PASS not in {each.verdict for each in found}
            assert not any("shown: " in each.observed or "no frame" in each.observed for each in found)


# What rightly passes without a thing that its policy asks for: (policy, place) -> the findings' resources. It concerns others.
RIGHTLY = {
    ("HOST-005", "arcstats"): ("sigsrv", "minisrv"),  # what it tells can only add to what is free
    ("INST-011", urls.PROFILES): ("default/db",),  # has no NIC
    ("INST-011", urls.PROJECTS): ("default/db",),
    ("NET-007", "addr"): ("cluster",),  # the configuration is the daemon's
    ("NET-007", "link"): ("cluster",),
    ("NET-008", "units"): ("userbr0",),  # attached by Incus
    ("POOL-003", "zpool-json"): ("iso",),  # a folder
    ("POOL-003", "zpool-list"): ("iso",),
    ("PROJ-006", urls.PROFILES): ("default", "user-john"),  # whose features they are; the volumes are error
    ("PROJ-006", urls.volumes_url("nvme")): ("default", "user-john"),
    ("PROJ-006", urls.volumes_url("iso")): ("default", "user-john"),
    ("PROJ-008", urls.INSTANCES): ("user-john",),  # a project of the site
}
ABOUT_ONE = ("sigsrvbr0", "userbr0", "nvme", "iso")  # that have URLs of their own


def may_pass(found: Finding, place: str) -> bool:
    """Whether a finding has nothing to do with a thing that its policy asks for."""
    if place == urls.SERVER:  # it is asked whose daemon answers there, for whatever else the probes tell
        return POLICIES[found.policy].on_hosts or found.policy == "XHOST-001"
    if {found.resource, found.host} & set(RIGHTLY.get((found.policy, place), ())):
        return True
    named = [name for name in ABOUT_ONE if f"/{name}" in place]
    return bool(named) and not any(name in found.resource for name in named)


@pytest.mark.parametrize("policy_id", POLICIES)
def test_nothing_passes_without_what_its_policy_asks_for(policy_id):
    """The evidence that complies, and one thing that nobody asked the hosts for: what it is about is not known to comply."""
    content = document.document()
    desired, hosts = site_file.parse(content["site"]), evidence_of(content)
    before = judged(policy_id, desired, facts_of(desired, hosts))

    for (part, place), keys in places_asked(hosts).items():
        rest = {host: {k: v for k, v in getattr(hosts[host], part).items() if k != key} for host, key in keys.items()}
        less = {
            host: dataclasses.replace(hosts[host], **{part: rest[host]}) if host in rest else hosts[host]
            for host in hosts
        }
        now = judged(policy_id, desired, facts_of(desired, less))
        assert [
            key for key, found in now.items() if found.verdict is Verdict.PASS and not may_pass(found, place)
        ] == [], place
        assert any(told(found) for found in now.values()) or {key: found.verdict for key, found in before.items()} == {
            key: found.verdict for key, found in now.items()
        }, place


def in_no_cluster(content: dict[str, Any]) -> dict[str, Any]:
    """The document with the servers of both hosts alone: what a member has otherwise than the list is in its own list then."""
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
def test_a_fault_in_a_cluster_is_a_fault_on_standalone_hosts(policy_id):
    """Standalone hosts list only what they have, and there is no member to ask. An example that needs a cluster says ``cluster_only``."""
    faults = {Verdict.FAIL, Verdict.ERROR} if policy_id == REACHABLE else {Verdict.FAIL}
    for index, example in enumerate(POLICIES[policy_id].examples["violating"]):
        content = in_no_cluster(of_fault(policy_id, index))
        desired = site_file.parse(content["site"])
        found = judged(policy_id, desired, facts_of(desired, evidence_of(content)))
        fails = bool(faults & {each.verdict for each in found.values()})
        assert fails is not example.get("cluster_only", False), example["name"]
