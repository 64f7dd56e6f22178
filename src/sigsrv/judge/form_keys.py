"""The form ``keys``: configuration keys as they take effect, whatever gives them their value."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from sigsrv.collect.redact import REDACTED
from sigsrv.facts.clusters import ClusterFacts
from sigsrv.facts.hosts import HostFacts
from sigsrv.facts.resources import Instance
from sigsrv.judge.clauses import Clauses
from sigsrv.judge.form_values import Subject, all_hold, observed_text, wrong_items
from sigsrv.judge.instance_keys import ALL, instance_fix, known_origin, shown_key
from sigsrv.model.errors import EvidenceError
from sigsrv.model.forms import Keys, Wanted
from sigsrv.model.policy import Policy
from sigsrv.model.site import Site
from sigsrv.model.values import FALSE, TRUE, size_bytes

KEYS_OF = {"instance": "expanded_config", "host": "incus.config", "cluster": "incus.config"}


class KeysJudge:
    """Judges one form ``keys`` of a policy on the resources of one host or cluster."""

    def __init__(self, policy: Policy, keys: Keys, facts: HostFacts | ClusterFacts, site: Site) -> None:
        self._policy, self._keys, self._site = policy, keys, site
        self._facts = facts if isinstance(facts, ClusterFacts) else None
        self._path = keys.of or KEYS_OF.get(policy.examines, "config")
        self._usual = Usual.of(keys)

    def judge(self, subject: Subject, finding: Clauses) -> None:
        """Record a clause for each wrong key, and one for each fact that shows whether the keys are in force."""
        keys = self._keys
        if not all_hold(keys.when, subject):
            return
        config: Mapping[str, str] = subject.look_up(self._path)
        is_usual = self._usual is not None and self._usual.covers(config)
        wrong = {} if is_usual else self._wrong(config, subject, finding)
        left = self._without_exempt(wrong, subject, finding) if wrong else wrong
        instance = subject.facts if isinstance(subject.facts, Instance) and self._facts else None
        for key in left:
            origin = known_origin(finding, self._facts, instance, key) if instance and self._facts else None
            finding.violated(f"{keys.about}: " * bool(keys.about) + shown_key(key, config, origin))
        if not left:
            finding.holds()
        in_force = _judge_effect(keys, subject, finding, counts=not wrong) if keys.effect else True
        if instance and self._facts and finding.is_violated:
            restart = not (in_force or ALL in keys.live)
            refuse = _refusal(keys, subject)
            _add(finding.fix, instance_fix(self._facts, instance, left, live=keys.live, restart=restart, refuse=refuse))
        elif self._policy.remediation and not instance:
            _add(finding.fix, {"keys": [{"name": key, "value": value} for key, value in sorted(left.items())]})

    def _wrong(self, config: Mapping[str, str], subject: Subject, finding: Clauses) -> dict[str, str]:
        """Return the wrong keys, exempt ones too, each with the value that a fix sets."""
        wrong: dict[str, str] = {}
        for key, value, wanted in _each_key(self._keys, config, subject):
            try:
                is_wrong = not (_is_excepted(wanted, subject) or is_right(key, value, wanted, subject))
            except EvidenceError as cause:
                is_wrong = key in self._site.exempt_keys(self._policy.id, subject.resource)  # whatever its value means
                if not is_wrong:
                    finding.unknown(cause.reason)
            if is_wrong:
                wrong[key] = wanted.set if wanted.set is not None else wanted.is_ or ""
        return wrong

    def _without_exempt(self, wrong: dict[str, str], subject: Subject, finding: Clauses) -> dict[str, str]:
        """Return the wrong keys that the site does not exempt, and note the others."""
        exempt = self._site.exempt_keys(self._policy.id, subject.resource)
        excused = [f"the site exempts {key}: {exempt[key]}" for key in wrong if key in exempt]
        finding.note = "; ".join([*([finding.note] if finding.note else []), *excused])
        return {key: value for key, value in wrong.items() if key not in exempt}


@dataclass(frozen=True)
class Usual:
    """Finds configurations that are right at first sight: each wanted key has exactly the wanted text. Any other needs a closer look."""

    values: frozenset[tuple[str, str]]
    """The keys that must be set, each with its value."""
    unset: frozenset[str]
    """The keys that must not be set."""
    prefixes: tuple[str, ...]
    """How the keys begin that patterns want unset; no key may begin so."""

    @staticmethod
    def of(keys: Keys) -> Usual | None:
        """Return what a form wants; None if its wishes are not that plain."""
        if keys.equal or any(each.is_ is None or each.unless for each in keys.must.values()):
            return None
        patterns = {name: each.is_ for name, each in keys.must.items() if "*" in name}
        plain = {name: each.is_ for name, each in keys.must.items() if "*" not in name}
        if any(patterns.values()):
            return None
        return Usual(
            frozenset((name, value) for name, value in plain.items() if value),
            frozenset(name for name, value in plain.items() if not value),
            tuple(name.partition("*")[0] for name in patterns),
        )

    def covers(self, config: Mapping[str, str]) -> bool:
        """Return whether a configuration has all keys as they are wanted, to the letter."""
        return (
            self.values <= config.items()
            and self.unset.isdisjoint(config)
            and not (self.prefixes and any(key.startswith(self.prefixes) for key in config))
        )


def _add(fix: dict[str, Any], more: Mapping[str, Any]) -> None:
    """Add the values of one form to those of the forms before it: lists are joined, a restart or a refusal of any form counts."""
    for name, value in more.items():
        fix[name] = [*fix.get(name, ()), *value] if isinstance(value, list) else fix.get(name) or value


def _refusal(keys: Keys, subject: Subject) -> str:
    """Return why a script must not set the keys; empty if it may. A condition that could not be read refuses too."""
    for each in keys.refuse:
        try:
            if all_hold(each.when, subject):
                return each.text
        except EvidenceError as cause:
            return f"{each.text} (unknown: {cause.reason})"
    return ""


def _is_excepted(wanted: Wanted, subject: Subject) -> bool:
    return bool(wanted.unless) and all_hold(wanted.unless, subject)


def _each_key(keys: Keys, config: Mapping[str, str], subject: Subject) -> Iterable[tuple[str, str, Wanted]]:
    """Yield each key with its value ("" if it is unset) and what it must be."""
    for name, wanted in keys.must.items():
        if "*" not in name:
            yield name, config.get(name, "").strip(), wanted
            continue
        first = name.partition("*")[0]
        for key in sorted(each for each in config if each.startswith(first) and fits(each, name)):
            yield key, config[key].strip(), wanted
    given: Mapping[str, Any] = (subject.value(keys.equal) or {}) if keys.equal else {}
    for key, value in sorted(given.items()):
        text = str(value).lower() if isinstance(value, bool) else str(value)
        yield key, config.get(key, "").strip(), Wanted(is_=text)


def is_right(key: str, value: str, wanted: Wanted, subject: Subject) -> bool:
    """Return whether a key has a wanted value. Raises EvidenceError if the value is no size where one is needed."""
    if value == wanted.is_:
        return True
    if wanted.is_ is not None and same(value, wanted.is_):
        return True
    if REDACTED in value and (wanted.is_ or wanted.in_ is not None or wanted.one_of or wanted.like):
        raise EvidenceError(f"{key}: its value is secret, so sigsrv does not store it and can't compare it")
    if wanted.in_ is not None and value in subject.value(wanted.in_):
        return True
    if value in wanted.one_of or any(value and fits(value, pattern) for pattern in wanted.like):
        return True
    if wanted.above is None:
        return False
    try:
        return size_bytes(value or 0) > wanted.above
    except ValueError as cause:
        raise EvidenceError(f"{key}: {cause}") from cause


def fits(text: str, pattern: str) -> bool:
    """Return whether a text fits a pattern, in which ``*`` is any text. Every other character stands for itself."""
    first, *middle = pattern.split("*")
    if not middle:
        return text == first
    *middle, last = middle
    if len(text) < len(first) + len(last) or not (text.startswith(first) and text.endswith(last)):
        return False
    at, end = len(first), len(text) - len(last)
    for part in middle:  # the first place is always good enough: it leaves the most for the other parts
        at = text.find(part, at, end) + len(part)
        if at < len(part):
            return False
    return True


def same(found: str, wanted: str) -> bool:
    """Return whether two values are equal for Incus: 1GiB is 1024MiB, and yes is true. An unset key equals only an unset one."""
    if found == wanted:
        return True
    if not found or not wanted:
        return False
    if {found.lower(), wanted.lower()} <= TRUE or {found.lower(), wanted.lower()} <= FALSE:
        return True
    try:
        return size_bytes(found) == size_bytes(wanted)
    except ValueError:
        return False


def _judge_effect(keys: Keys, subject: Subject, finding: Clauses, counts: bool) -> bool:
    """Return whether the keys are in force, as far as known. counts: record it; a wrong key already says that they are not."""
    in_force = True
    for clause in keys.effect:
        is_counted = counts and all_hold(clause.when, subject)
        try:
            wrong = wrong_items(clause, subject)
            if wrong and is_counted:
                finding.violated(observed_text(clause, subject, wrong))
            in_force &= not wrong
        except EvidenceError as cause:
            if is_counted:
                finding.unknown(cause.reason)
    return in_force
