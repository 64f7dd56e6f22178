"""Tests that what sigsrv collects and parses can change a verdict: each fact, and each part that a probe asks for by name.

What has no reader is removed, or it is in a list below with the reason why it stays. An entry that gets a reader must leave its list.
"""

from __future__ import annotations

import dataclasses
import importlib
import inspect
import json
import pkgutil
import re
import sys
from collections.abc import Callable, Iterator, Mapping
from contextlib import suppress
from itertools import pairwise
from typing import Any, get_type_hints

import pytest

from sigsrv import facts as package
from sigsrv.authoring.fact_types import attributes, is_view, records_in
from sigsrv.collect import probes
from sigsrv.facts.config import Keys, Values
from sigsrv.facts.hosts import HostFacts
from sigsrv.facts.reading import fact
from sigsrv.judge.evaluate import evaluate
from sigsrv.model.errors import EvidenceError
from tests.judged import CHECKS, POLICIES, saved_states, states

# Facts that no policy reads: why they stay.
UNREAD_FACTS = {
    "HostFacts.has_no_login": "the notice of a run says to which hosts nobody logs in",
    "WayIn.kind": "the notice of a run names the ways in that no policy judges",
    "WayIn.name": "the notice of a run names the ways in that no policy judges",
    "WayIn.place": "the notice of a run names the ways in that no policy judges",
    "Instances.search": "the checks of a site can search: CONTRIBUTING describes it",
    "ZPool.resilvering": "sigsrv-remediate waits until a resilver ends",
}
# Parts of the output of a probe that no fact parses: why they stay.
UNREAD_PARTS = {
    ("units", "NRestarts"): "HOST-002 will report a service that keeps restarting",
    ("journal-newest", "PRIORITY"): "journalctl wants one field at least; the time, which a fact reads, comes with it",
    ("time-sync", "NTP"): "HOST-007 will report a clock that nothing keeps synchronized",
}
# Keys of answers that sigsrv stores because the answer has them, and that no fact parses yet.
UNREAD_KEYS = {
    "expires_at": "VOL-003 will read it: when Incus deletes a snapshot",
}
# Probes that no policy reads.
UNREAD_PROBES = {
    "socket": "collect.api explains with it why the daemon does not answer",
    "socket-access": "collect.api explains with it why the daemon does not answer",
}
# The option that names the parts that a probe asks for.
PART_OPTIONS = {
    "units": "--property",
    "zfs-created": "-o",
    "journal": "--output-fields",
    "journal-newest": "--output-fields",
    "filesystems": "--output",
    "time-sync": "-p",
    "backups-on": "-o",
}
# Outputs of probes whose saved outputs are empty.
OUTPUTS = {"journal": '{"PRIORITY": "3", "MESSAGE": "level=error"}\n{"PRIORITY": "3"}\n{"MESSAGE": "level=error"}\n'}
MODULES = [
    importlib.import_module(f"{package.__name__}.{each.name}") for each in pkgutil.iter_modules(package.__path__)
]
CLASSES = [
    kind
    for module in MODULES
    for kind in vars(module).values()
    if isinstance(kind, type) and kind.__module__ == module.__name__ and not issubclass(kind, Exception)
    if kind not in (Keys, Values)  # these describe facts: the schema of the facts reads them
]
GENERATED = frozenset({"__eq__", "__hash__", "__init__", "__repr__", "as_json"})  # these read all fields, needed or not


def words_of_rules() -> frozenset[str]:
    """Return each word of the rules: a rule gets all fields of a resource and reads those that it names."""
    shown = json.dumps([[each.rule, each.match, each.observe] for each in POLICIES.values() if each.rule is not None])
    return frozenset(re.findall(r"\w+", shown))


def trace(monkeypatch: pytest.MonkeyPatch, kind: type, read: set[str]) -> None:
    """Add each attribute of a class of facts to ``read`` when something reads it, as ``CLASS.NAME``."""
    paths = {each.name: f"{kind.__name__}.{each.name}" for each in attributes(kind)}
    original, in_rules = kind.__getattribute__, words_of_rules()

    def traced(self: object, name: str) -> Any:
        caller = sys._getframe(1).f_code.co_name
        if name in paths and (caller not in GENERATED or (caller == "as_json" and name in in_rules)):
            read.add(paths[name])
        return original(self, name)

    monkeypatch.setattr(kind, "__getattribute__", traced)


def test_each_fact_is_read_by_a_policy(monkeypatch):
    """A fact that changes no verdict costs the reader of facts.md and the parser, and looks as if it was judged."""
    read: set[str] = set()
    for kind in CLASSES:
        trace(monkeypatch, kind, read)

    for policies, site, facts in states():
        evaluate(policies, CHECKS, site, facts)

    known = {f"{kind.__name__}.{each.name}" for kind in CLASSES for each in attributes(kind)}
    assert known - read == set(UNREAD_FACTS)


def test_each_probe_is_looked_at_by_a_policy():
    looked_at = {name for each in POLICIES.values() for name in each.looks_at}

    assert {probe.id for probe in probes.TABLE} - looked_at == set(UNREAD_PROBES)


def parts(probe: probes.Probe) -> list[str]:
    """Return the parts that a probe asks for by name: properties, columns or keys."""
    option, words = PART_OPTIONS[probe.id], list(probe.command)
    found = [after for word, after in pairwise(words) if word == option]
    found += [word.partition("=")[2] for word in words if word.startswith(f"{option}=")]
    return [part for each in found for part in each.split(",")]


def without_part(probe: str, part: str, output: str) -> str:
    """Return the output of a probe without a part; a column keeps its place and loses its value."""
    if probe in ("units", "time-sync"):
        return re.sub(rf"(?m)^{part}=.*\n?", "", output)
    if probe in ("filesystems", "zfs-created"):
        order = parts(next(each for each in probes.TABLE if each.id == probe))
        mark = "\t" if probe == "zfs-created" else None
        rows = [line.split(mark) for line in output.splitlines()]
        for row in rows[0 if mark else 1 :]:  # df has a header
            row[order.index(part)] = "?"
        return "".join((mark or " ").join(row) + "\n" for row in rows)
    documents = (
        [json.loads(line) for line in output.splitlines()] if probe.startswith("journal") else [json.loads(output)]
    )
    return "\n".join(json.dumps(without_key(each, part.lower())) for each in documents)


def without_key(value: Any, key: str) -> Any:
    if isinstance(value, Mapping):
        return {name: without_key(each, key) for name, each in value.items() if name.lower() != key}
    return [without_key(each, key) for each in value] if isinstance(value, list) else value


def values(host: HostFacts) -> Iterator[object]:
    """Yield each fact of a host and of its views, private ones too, or the reason why it can't be read.

    Units are read one by one: their blocks are text, which nothing has parsed yet.
    """
    views = [getattr(host, each.name) for each in attributes(HostFacts) if is_view(each.hint)]
    with suppress(EvidenceError):
        views += host.pools.values()
    for view in (host, *views):
        for name, each in vars(type(view)).items():
            if (
                name != "_blocks"
                and isinstance(each, fact)
                and not any(is_view(kind) for _, kind in records_in(get_type_hints(each.func)["return"]))
            ):
                yield value_or_reason(lambda view=view, name=name: getattr(view, name))
    for unit in ("incus.service", "incus.socket", "incus-startup.service"):
        yield value_or_reason(lambda unit=unit: host.system.unit(unit))


def value_or_reason(read: Callable[[], object]) -> object:
    try:
        return read()
    except EvidenceError as cause:
        return cause.reason


def with_output(host: HostFacts, probe_id: str, output: str) -> HostFacts:
    """Return new facts of a host on which a probe has another output."""
    answer = dataclasses.replace(host.evidence.probes[probe_id], stdout=output)
    evidence = dataclasses.replace(host.evidence, probes={**host.evidence.probes, probe_id: answer})
    return HostFacts(host.name, host.member, evidence)


@pytest.mark.parametrize("probe_id", PART_OPTIONS)
def test_each_part_that_a_probe_asks_for_is_parsed(probe_id):
    """Without the part, or with another value in its column, some fact of some host differs."""
    probe = next(each for each in probes.TABLE if each.id == probe_id)
    hosts = [host for _, _, facts in saved_states() for host in facts.values()]
    hosts = [host for host in hosts if probe_id in host.evidence.probes and host.evidence.probes[probe_id].rc == 0]
    unread = set()
    for part in parts(probe):
        for host in hosts:
            output = host.evidence.probes[probe_id].stdout or OUTPUTS.get(probe_id, "")
            if list(values(with_output(host, probe_id, output))) != list(
                values(with_output(host, probe_id, without_part(probe_id, part, output)))
            ):
                break
        else:
            unread.add((probe_id, part))

    assert hosts
    assert unread == {key for key in UNREAD_PARTS if key[0] == probe_id}


def test_no_other_probe_asks_for_parts_by_name():
    """Otherwise the table of options above lacks it."""
    options = ("--property", "--output", "--output-fields")
    asking = {each.id for each in probes.TABLE if any(word.partition("=")[0] in options for word in each.command)}

    assert asking <= set(PART_OPTIONS)


@pytest.mark.parametrize("key", UNREAD_KEYS)
def test_key_that_waits_for_its_reader_has_none(key):
    """When a fact parses the key, it leaves the list."""
    assert [module.__name__ for module in MODULES if f'"{key}"' in inspect.getsource(module)] == []
