"""Shows that each ``pass`` stands on evidence: damages the evidence, judges the policy again, and looks whether it still passes.

A knock-out is one damage, on all hosts: of a whole answer, or of one part of it (a row, a key, a line). A pass is knocked out if its
finding then is ``fail`` or ``error``; ``not-applicable`` counts as if it still passed. A pass must be knocked out by the damage of a whole
answer, and by the damage of a part. Otherwise it is a survivor: it stands on nothing, or only on the fact that there was an answer.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from itertools import zip_longest
from typing import TypeVar
from zlib import crc32

from sigsrv.authoring.damage import WHOLE, AnyAnswer, parts_of
from sigsrv.collect import urls
from sigsrv.collect.evidence import Answer, ApiAnswer, Evidence, Failure
from sigsrv.facts.hosts import HostFacts
from sigsrv.judge.catalogue import Catalogue
from sigsrv.judge.evaluate import evaluate, evaluate_one
from sigsrv.judge.require import BROKE, NEVER_FAIL
from sigsrv.model.errors import FailureKind
from sigsrv.model.finding import Finding, Verdict
from sigsrv.model.policy import Policy
from sigsrv.model.site import Site

V = TypeVar("V")
LOGIN = "login"  # the place that is no answer: whether sigsrv could log in
# Nearly every fact reads these to refuse a filtered answer or another member's. Only some policies are about their content.
_GUARDS = frozenset({urls.SERVER, urls.WARNINGS})
_ABOUT_GUARDS = frozenset({"AUTH-003", "AUTH-005", "HOST-002"})
_REPORTED = (Verdict.FAIL, Verdict.ERROR)
_REFUSED = Failure(FailureKind.UNREACHABLE, "knock-out: the login fails")


@dataclass(frozen=True)
class Scene:
    """Saved evidence with the site file that it belongs to. evidences: by host, in the order of the site."""

    name: str
    site: Site
    evidences: Mapping[str, Evidence]


@dataclass
class Result:
    """What the knock-outs of one policy on one scene showed. Findings are named by their ids.

    tried: number of knock-outs. survivors: passes that no whole answer, or no part of one, knocks out.
    unmoved: (pass, place): the policy reads the answer, and the pass stays without it.
    accepted: (pass, place, damage): the absence of the answer knocks the pass out, and another damage of the same answer does not.
    broken: knock-outs that end in an internal error, each with the error.
    """

    policy: str
    scene: str
    passes: tuple[str, ...] = ()
    tried: int = 0
    survivors: tuple[str, ...] = ()
    unmoved: list[tuple[str, str]] = field(default_factory=list)
    accepted: list[tuple[str, str, str]] = field(default_factory=list)
    broken: list[str] = field(default_factory=list)


class _Recorded(Mapping[str, V]):
    """A mapping that keeps the keys that were requested and exist."""

    def __init__(self, content: Mapping[str, V], asked: dict[str, None]) -> None:
        self._content, self._asked = content, asked

    def __getitem__(self, key: str) -> V:
        found = self._content[key]
        self._asked[key] = None
        return found

    def __iter__(self) -> Iterator[str]:
        return iter(self._content)

    def __len__(self) -> int:
        return len(self._content)


def knock_out(policy: Policy, catalogue: Catalogue, scene: Scene, every: int = 0) -> Result:
    """Return what the knock-outs of a policy on a scene show.

    every: damage one in so many of all parts, to find internal errors; 1 means all. 0: stop as soon as each pass has fallen.
    """
    return _KnockOut(policy, catalogue, scene).run(every)


class _KnockOut:
    """The knock-outs of one policy on one scene."""

    def __init__(self, policy: Policy, catalogue: Catalogue, scene: Scene) -> None:
        self._policy, self._catalogue, self._scene = policy, catalogue, scene
        self._members = {host.name: host.member for host in scene.site.hosts}
        self._facts = {name: self._facts_of(name, each) for name, each in scene.evidences.items()}
        self._result = Result(policy.id, scene.name)
        self._before = self._judge(self._facts, "evidence without damage")
        self._passes = {key for key, found in self._before.items() if found.verdict is Verdict.PASS}
        self._result.passes = tuple(sorted(self._passes))

    def run(self, every: int) -> Result:
        """Try the knock-outs, the whole answers first. Return the result."""
        if not self._passes and not every:
            return self._result
        standing, solid = set(self._passes), set(self._passes)
        places = self._declared()
        for place in places:
            standing -= self._whole(place)
        if places == [LOGIN]:  # it has no parts
            solid = set()
        for label, changed in self._parts(places):
            if solid or (every and crc32(f"{self._policy.id} {label}".encode()) % every == 0):
                solid -= self._out(self._damaged(changed, label))
            elif not every:
                break
        self._result.survivors = tuple(sorted(standing | solid))
        return self._result

    def _facts_of(self, name: str, evidence: Evidence) -> HostFacts:
        return HostFacts(name, self._members[name], evidence)

    def _declared(self) -> list[str]:
        """Return the places that the verdicts stand on: what the policy reads here, without the guards if it reads more than these."""
        if self._policy.id in NEVER_FAIL:
            return [LOGIN]
        asked: dict[str, None] = {}
        facts = {}
        for name, each in self._scene.evidences.items():
            probes: Mapping[str, Answer] = _Recorded(each.probes, asked)
            api: Mapping[str, ApiAnswer] = _Recorded(each.api, asked)
            facts[name] = self._facts_of(name, dataclasses.replace(each, probes=probes, api=api))
        evaluate([self._policy], self._catalogue.checks, self._scene.site, facts)
        places = list(dict.fromkeys(map(place_of, asked)))
        if self._policy.id in _ABOUT_GUARDS:
            return places
        return [place for place in places if place not in _GUARDS] or places

    def _whole(self, place: str) -> set[str]:
        """Damage a whole answer in each way; return the passes that one of them knocks out."""
        found: set[str] = set()
        without: set[str] = set()
        for how in WHOLE:
            changed = {
                name: damaged
                for name, evidence in self._scene.evidences.items()
                if (damaged := _with_whole(evidence, place, how)) is not None
            }
            if not changed:
                continue
            now = self._damaged(changed, f"{place}: {how}")
            out = self._out(now)
            found |= out
            if how == "absent":
                without = out
                self._result.unmoved += [(key, place) for key in sorted(self._passes - out)]
            else:
                self._result.accepted += [
                    (key, place, how) for key in sorted(without - out) if self._still_passes(key, now, changed)
                ]
        return found

    def _parts(self, places: Iterable[str]) -> Iterator[tuple[str, Mapping[str, Evidence]]]:
        """Yield each damage of a part: its name, and the changed evidence by host. The places take turns."""
        for row in zip_longest(*map(self._parts_of, places)):
            yield from (each for each in row if each)

    def _parts_of(self, place: str) -> Iterator[tuple[str, Mapping[str, Evidence]]]:
        hosts = {
            name: dict(parts_of(answer))
            for name, evidence in self._scene.evidences.items()
            if (answer := _answer(evidence, place)) is not None
        }
        for label in dict.fromkeys(label for ways in hosts.values() for label in ways):
            yield (
                f"{place}: {label}",
                {
                    name: _with(self._scene.evidences[name], place, ways[label]())
                    for name, ways in hosts.items()
                    if label in ways
                },
            )

    def _damaged(self, changed: Mapping[str, Evidence], label: str) -> Mapping[str, Finding]:
        """Judge with the changed evidence of some hosts. The facts of the other hosts are used again."""
        self._result.tried += 1
        facts = {
            name: self._facts_of(name, changed[name]) if name in changed else known
            for name, known in self._facts.items()
        }
        return self._judge(facts, label)

    def _judge(self, facts: Mapping[str, HostFacts], label: str) -> Mapping[str, Finding]:
        """Return the findings by id. Internal errors are kept in the result."""
        catalogue = self._catalogue
        found: Iterable[Finding] = ()
        try:
            found = evaluate_one(self._policy, catalogue.policies, catalogue.checks, self._scene.site, facts)
        except Exception as cause:  # a bug of the facts or the engine. Go on: the next knock-out may show another one
            self._result.broken.append(f"{label}: {type(cause).__name__}: {cause}")
        self._result.broken += [f"{label}: {each.id}: {each.reason}" for each in found if each.reason.startswith(BROKE)]
        return {each.id: each for each in found}

    def _out(self, now: Mapping[str, Finding]) -> set[str]:
        """Return the passes that are knocked out."""
        return {key for key in self._passes if self._is_out(self._before[key], now)}

    def _is_out(self, was: Finding, now: Mapping[str, Finding]) -> bool:
        """Return whether a pass is a failure or an error now. If its finding is gone, a new one of its host must be in its place."""
        if was.id in now:
            return now[was.id].verdict in _REPORTED
        return any(
            each.verdict in _REPORTED and (not self._policy.on_hosts or each.host == was.host)
            for key, each in now.items()
            if key not in self._before or self._before[key].verdict is not each.verdict
        )

    def _still_passes(self, key: str, now: Mapping[str, Finding], changed: Mapping[str, Evidence]) -> bool:
        """Return whether a pass is still one, although the evidence that it stands on is damaged."""
        concerned = not self._policy.on_hosts or self._before[key].host in changed
        return concerned and key in now and now[key].verdict is Verdict.PASS


def place_of(key: str) -> str:
    """Return the id of a probe, or a URL without its member: each member gives the answer about itself."""
    return key.partition("?target=")[0]


def _key(evidence: Evidence, place: str) -> str | None:
    keys = (key for part in (evidence.probes, evidence.api) for key in part)
    return next((key for key in keys if place_of(key) == place), None)


def _answer(evidence: Evidence, place: str) -> AnyAnswer | None:
    key = _key(evidence, place)
    return None if key is None else evidence.probes.get(key) or evidence.api.get(key)


def _with(evidence: Evidence, place: str, answer: AnyAnswer | None) -> Evidence:
    """Return evidence with another answer at a place; None: without one."""
    key = _key(evidence, place)
    probes = {name: each for name, each in evidence.probes.items() if name != key}
    api = {name: each for name, each in evidence.api.items() if name != key}
    if key and isinstance(answer, Answer):
        probes[key] = answer
    elif key and isinstance(answer, ApiAnswer):
        api[key] = answer
    return dataclasses.replace(evidence, probes=probes, api=api)


def _with_whole(evidence: Evidence, place: str, how: str) -> Evidence | None:
    """Return evidence with a damaged answer; None if there is no answer, or if the damage does not change it."""
    if place == LOGIN:
        return dataclasses.replace(evidence, failure=_REFUSED, probes={}, api={}) if how == "absent" else None
    answer = _answer(evidence, place)
    if answer is None or answer.failure:
        return None
    damaged = WHOLE[how](answer)
    return None if damaged == answer else _with(evidence, place, damaged)
