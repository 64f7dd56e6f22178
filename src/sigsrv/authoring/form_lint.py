"""Finds mistakes in the forms of a policy that its schema can't see: names that lead nowhere, and comparisons that can never hold.

Each mistake would make a policy that judges nothing, or only ever gives ``error``.
"""

from __future__ import annotations

import dataclasses
import re
from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from sigsrv.authoring.fact_paths import FACTS, Found, NoFact, Scope, joined_as, kinds, require_key, scope_of, words
from sigsrv.authoring.form_comparisons import comparison_mistakes, type_of
from sigsrv.facts import config
from sigsrv.judge.form_keys import KEYS_OF
from sigsrv.judge.form_values import PLACE
from sigsrv.model import incus_keys, records, yamlfile
from sigsrv.model.errors import UsageError, nearest
from sigsrv.model.forms import Clause, Comparison, Devices, Forms, Join, Joined, Keys, Need, Value, Wanted
from sigsrv.model.policy import Policy
from sigsrv.model.remediation import Remediation
from sigsrv.model.values import FALSE, TRUE

Place = tuple[str | int, ...]
Mistakes = Iterator[tuple[Place, str, str]]
"""Each mistake with its place in the file, its message and its hint."""

_BRACES = re.compile(r"\{[^{}]*\}")
_BOOLEANS: Mapping[str, Collection[str]] = {
    "instance": config.INSTANCE_BOOLEANS,
    "project": config.PROJECT_BOOLEANS,
    "network": config.NETWORK_BOOLEANS,
    "server": config.SERVER_BOOLEANS,
    "device": frozenset().union(*config.DEVICE_BOOLEANS.values()),
}
# The lists of the site file that allow single devices, and the type of device that each allows.
_LISTS: Mapping[str, str] = {"host_paths": "disk", "proxies": "proxy"}
# The entries of the site file that belong to resources of a kind.
_EACH_OF: Mapping[str, str] = {"bridge": "bridges", "network": "bridges", "pool": "pools", "project": "projects"}
# The values that the forms themselves give to a remediation.
_INSTANCE_FIX = frozenset({"instance", "project", "set", "unset", "restart", "start", "refuse"})
_DEVICES_FIX = frozenset({"instance", "project", "devices"})


def mistakes(
    policy: Policy, policies: Mapping[str, Policy], remediations: Mapping[str, Remediation]
) -> Iterator[UsageError]:
    """Yield the mistakes in the forms of a policy, each with file and line. policies: the whole catalogue, for ``root``."""
    if not policy.forms.names or policy.examines not in FACTS:
        return
    document = yamlfile.load(policy.path)
    lint = _FormLint(policy, policies, remediations, document.data)
    for place, message, hint in dict.fromkeys(lint.mistakes()):
        yield document.error(place, message, hint)


@dataclass(frozen=True)
class _FormLint:
    policy: Policy
    policies: Mapping[str, Policy]
    remediations: Mapping[str, Remediation]
    content: Mapping[str, Any]

    def mistakes(self) -> Mistakes:
        scope = scope_of(self.policy)
        joined = self.policy.forms.joined
        if joined is not None:
            yield from self._joins(joined, scope)
            own = {name: _element(scope, join) for name, join in joined.with_.items()}
            scope = Scope(scope.facts, {**scope.names, **own})
        for record, place in _records(self.policy.forms, self.content, ()):
            yield from self._record(record, place, scope)
        yield from _text(self.policy.expected, ("expected",), scope)
        yield from self._fix()

    def _record(self, record: Any, place: Place, scope: Scope) -> Mistakes:
        if isinstance(record, Value):
            try:
                type_of(record, scope)
            except NoFact as cause:
                yield place, str(cause), cause.hint
        if isinstance(record, Comparison):
            yield from comparison_mistakes(record, place, scope)
        if isinstance(record, Clause | Need | Join):
            yield from self._root(record.root, (*place, "root"), scope)
        if isinstance(record, Need) and record.verdict == "reported" and not record.root:
            yield (*place, "verdict"), "nothing says which policy reports it", "add root:"
        if isinstance(record, Keys):
            yield from self._keys(record, place, scope)
        if isinstance(record, Devices):
            yield from self._devices(record, place)
        for name in ("text", "fault", "unknown", "shows", "otherwise", "missing"):
            template = getattr(record, name, "")
            if template and isinstance(record, Clause | Need | Join | Forms):
                yield from _text(template, (*place, name), scope)
        for name in ("unit", "about", "if_none"):
            if "{" in getattr(record, name, ""):
                yield (*place, name), "this text has no {PATH}: it is shown as it is", "use text: or shows: for facts"

    def _joins(self, joined: Joined, scope: Scope) -> Mistakes:
        place = ("joined", "with")
        if joined.each and _EACH_OF.get(self.policy.examines) != joined.each:
            fits = ", ".join(sorted(kind for kind, each in _EACH_OF.items() if each == joined.each))
            yield (
                ("joined", "each"),
                f"{joined.each} of the site file do not belong to resources of kind {self.policy.examines}",
                f"the policy must examine: {fits}",
            )
        for name, join in joined.with_.items():
            try:
                scope.follow(name)
                yield (
                    (*place, name),
                    f"{name} is already the name of a fact, which it would hide",
                    "choose another name",
                )
            except NoFact:
                pass
            try:
                found = scope.follow(join.in_)
                if joined_as(found.hint) is None:
                    yield (
                        (*place, name, "in"),
                        f"{join.in_} is {words(found.hint)}: nothing in it has a name",
                        "a mapping by name, or a list of records with a name",
                    )
            except NoFact as cause:
                yield (*place, name, "in"), f"{join.in_}: {cause}", cause.hint

    def _root(self, root: str, place: Place, scope: Scope) -> Mistakes:
        root, is_whole_id, rest = root.partition("@")
        if not root:
            return
        yield from _text(rest, place, scope)
        if root not in self.policies:
            yield place, f"there is no policy {root}", nearest(root, self.policies)
        elif root == self.policy.id:
            yield place, "a policy can't be its own root", "name the policy that reports the cause"
        elif not is_whole_id and self.policies[root].examines != self.policy.examines:
            other = self.policies[root].examines
            hint = "a root has a finding on the same host and resource"
            yield place, f"{root} examines {other}, and this policy {self.policy.examines}", hint

    def _keys(self, keys: Keys, place: Place, scope: Scope) -> Mistakes:
        path = keys.of or KEYS_OF.get(self.policy.examines, "config")
        at = (*place, "of") if keys.of else place
        try:
            found = scope.follow(path)
        except NoFact as cause:
            yield at, f"{path}: {cause}", cause.hint
            return
        if "mapping" not in kinds(found.hint):
            yield at, f"{path} is {words(found.hint)}, and has no configuration keys", ""
            return
        if not keys.must and not keys.equal:
            yield place, "the form asks nothing of any key", "add must: or equal:"
        for key, wanted in keys.must.items():
            yield from _wanted(found.entity, key, wanted, (*place, "must", key))
        for index, key in enumerate(keys.live):
            if key != "*" and not keys.equal and key not in keys.must:
                at = _item(_at(self.content, (*place, "live")), (*place, "live"), index)
                yield at, f"{key} is none of the keys in must", nearest(key, keys.must)
        if self.policy.examines != "instance":
            for name in ("live", "refuse"):
                if getattr(keys, name):
                    yield (*place, name), f"{name} counts only for instances", "remove it"

    def _devices(self, form: Devices, place: Place) -> Mistakes:
        if self.policy.examines != "instance":
            yield place, f"only instances have devices, and the policy examines {self.policy.examines}", ""
        if form.listed and form.listed not in _LISTS:
            yield (
                (*place, "listed"),
                f"the site file has no list {form.listed} of devices",
                nearest(form.listed, _LISTS),
            )
        elif form.listed and _LISTS[form.listed] not in form.types:
            yield (*place, "listed"), f"{form.listed} allows only devices of type {_LISTS[form.listed]}", ""
        allowed = _at(self.content, (*place, "allowed"))
        groups = [(form.only, (*place, "only"))]
        groups += [(each, _item(allowed, (*place, "allowed"), index)) for index, each in enumerate(form.allowed)]
        for group, at in groups:
            for key, wanted in group.items():
                yield from _wanted("device", key, wanted, (*at, key))
                if wanted.unless or wanted.set is not None:
                    yield (*at, key), "unless and set count only in the form keys", "remove them"
        for found in _BRACES.findall(form.shows):
            try:
                require_key("device", found[1:-1])
            except NoFact as cause:
                yield (*place, "shows"), str(cause), cause.hint

    def _fix(self) -> Mistakes:
        forms, name = self.policy.forms, self.policy.remediation
        if name is None:
            if forms.fix:
                yield ("fix",), "no remediation uses these values: a person fixes it (by_hand)", "remove fix:"
            return
        if name not in self.remediations:
            return  # lint says so already
        parameters = self.remediations[name].parameters
        for key in forms.fix:
            if key not in parameters and key != "runs_on":
                yield ("fix", key), f"{name} has no parameter {key}", nearest(key, parameters)
        for record, place in _records(forms, self.content, ()):
            for key in ("fixes", "refuses") if isinstance(record, Clause) else ():
                given = getattr(record, key)
                if given and given not in parameters:
                    yield (*place, key), f"{name} has no parameter {given}", nearest(given, parameters)
        if missing := sorted(parameters.keys() - forms.fix.keys() - self._given()):
            of = f"{', '.join(missing)}, which {name} needs"
            yield ("fix",) if forms.fix else ("remediation",), f"no value for {of}", "add it to fix:"

    def _given(self) -> frozenset[str]:
        """Return the parameters that the forms give to the remediation themselves."""
        forms, found = self.policy.forms, frozenset[str]()
        if forms.keys:
            found |= _INSTANCE_FIX if self.policy.examines == "instance" else frozenset({"keys"})
        by_each_clause = [{each.fixes, each.refuses} for each in forms.clauses]
        found |= set.intersection(*by_each_clause) if by_each_clause else set()
        return found | _DEVICES_FIX if forms.devices else found


def _element(scope: Scope, join: Join) -> Found:
    """Return the facts of a join. Without them, paths that begin with its name are not examined further."""
    try:
        return joined_as(scope.follow(join.in_).hint) or Found(Any)
    except NoFact:
        return Found(Any)


def _wanted(entity: str, key: str, wanted: Wanted, place: Place) -> Mistakes:
    """Yield the mistakes in what a configuration key must be."""
    named = (wanted.is_, *wanted.one_of)
    if wanted.is_ is None and not wanted.one_of and not wanted.like and wanted.above is None and wanted.in_ is None:
        yield place, "nothing says what the key must be", "add is, one_of, like, in or above"
    if key in _BOOLEANS.get(entity, ()):
        for value in (*named, wanted.set):
            if value and value.lower() not in TRUE | FALSE:
                yield place, f"{key} is true or false, and never {value}", nearest(value, {"true", "false"})
    elif (entity, key) == ("device", "type"):
        for value in named:
            if value and value not in incus_keys.DEVICE_TYPES:
                yield place, f"Incus has no device of type {value}", nearest(value, incus_keys.DEVICE_TYPES)


def _text(template: str, place: Place, scope: Scope) -> Mistakes:
    """Yield the paths of a text that lead nowhere, and the braces that hold no path."""
    for found in _BRACES.findall(template):
        path = found[1:-1]
        if path == "wrong" and place[-1] == "fault":
            continue
        if not PLACE.fullmatch(found):
            yield place, f"{found} is not the path of a fact", "a path has lower-case words with dots between them"
            continue
        try:
            scope.follow(path)
        except NoFact as cause:
            hint = "only a fault has {wrong}: the items that are wrong" if path == "wrong" else cause.hint
            yield place, f"{found}: {cause}", hint


def _records(record: Any, content: Any, place: Place) -> Iterator[tuple[Any, Place]]:
    """Yield a record and all records in it, each with its place. content: what the file has for the record."""
    yield record, place
    if not isinstance(content, Mapping):
        return  # a plain text that stands for a record
    for each in dataclasses.fields(record):
        key = records.key_of(each.name)
        if key in content:
            yield from _inner(getattr(record, each.name), content[key], (*place, key))


def _inner(value: Any, content: Any, place: Place) -> Iterator[tuple[Any, Place]]:
    if dataclasses.is_dataclass(value):
        yield from _records(value, content, place)
    elif isinstance(value, tuple):
        for index, item in enumerate(value):
            yield from _inner(
                item, content[index] if isinstance(content, list) else content, _item(content, place, index)
            )
    elif isinstance(value, Mapping):
        for key, item in value.items():
            yield from _inner(item, content[key], (*place, key))


def _item(content: Any, place: Place, index: int) -> Place:
    """Return the place of an item: a list of one item may be written without the list."""
    return (*place, index) if isinstance(content, list) else place


def _at(content: Any, place: Place) -> Any:
    """Return what a file has at a place; None if nothing."""
    for part in place:
        try:
            content = content[part]
        except (KeyError, IndexError, TypeError):
            return None
    return content
