"""The forms of a policy: what a policy file says instead of a check in Python.

Each form is a record. The string below a field is its documentation: the JSON Schema of policy files, ``sigsrv explain`` and docs/forms.md
are made from it. A form says what must be true of one resource; ``judge`` decides it. Each part of a form is a clause of the finding.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any, ClassVar, Literal


@dataclass(frozen=True)
class Value:
    """A value: written out (a text, a number, a list ...), or taken from one of these places."""

    site: str = ""
    """A path in the site file's view, for example ``thresholds.pool_free_percent``."""
    entry: str = ""
    """A path in the entry of the site file for the resource, for example ``vlan.interface`` of a bridge. For an instance or a volume it is
    the entry of its project; a project without one gets the strictest requirements."""
    fact: str = ""
    """A path of a fact of the resource."""
    literal: Any = None
    """The value itself. In a policy file it is written without this key."""


@dataclass(frozen=True)
class Comparison:
    """A fact, and what it is compared with. Exactly one comparison is needed."""

    operators: ClassVar[tuple[str, ...]] = (
        "is_",
        "is_not",
        "one_of",
        "none_of",
        "at_least",
        "at_most",
        "has",
        "lacks",
        "within",
        "covers",
    )

    fact: str
    """The path of the fact, as in docs/facts.md. ``entry.PATH`` and ``site.PATH`` are parts of the site file."""
    is_: Value | None = None
    """The fact equals this value."""
    is_not: Value | None = None
    """The fact differs from this value."""
    one_of: Value | None = None
    """The fact is one of these values."""
    none_of: Value | None = None
    """The fact is none of these values."""
    at_least: Value | None = None
    """The fact is this number or more."""
    at_most: Value | None = None
    """The fact is this number or less."""
    has: Value | None = None
    """The fact is a list that has this value."""
    lacks: Value | None = None
    """The fact is a list that does not have this value."""
    within: Value | None = None
    """The fact is a list, and each of its items is in this list."""
    covers: Value | None = None
    """The fact is a list that has each item of this list."""

    @cached_property
    def given(self) -> tuple[tuple[str, Value], ...]:
        """Return the operators that the policy file gives, each with the value that the fact is compared with."""
        values = ((name, getattr(self, name)) for name in self.operators)
        return tuple((name, value) for name, value in values if value is not None)


@dataclass(frozen=True)
class Clause(Comparison):
    """A comparison that must hold, and what a finding shows of it."""

    when: tuple[Comparison, ...] = ()
    """The clause counts only if all of these hold."""
    unless: tuple[Comparison, ...] = ()
    """The clause holds if all of these hold, whatever its fact; the finding then shows the fact of the first of them."""
    text: str = ""
    """What the finding shows of the clause, with ``{PATH}`` for facts; default: the fact and its unit."""
    fault: str = ""
    """What the finding shows if the clause is violated; default: the text. ``{wrong}`` stands for the items that are wrong."""
    unit: str = ""
    """What the number counts, for example ``% of the memory available``; the default text is the number and its unit."""
    unknown: str = ""
    """Why the clause is unknown if the fact has no value (``null``); default: no value is compared like any other."""
    root: str = ""
    """The policy that reports a violation: its finding on the same host and resource."""
    verdict: Literal["fail", "error", "not-applicable"] = "fail"
    """What a violation means: ``error`` if the other clauses then prove nothing, ``not-applicable`` if there is nothing to judge then."""
    fixes: str = ""
    """The parameter of the remediation that gets the items that are wrong."""
    refuses: str = ""
    """The parameter of the remediation that says what a person must fix: it gets what the finding shows of the violation."""


@dataclass(frozen=True)
class Need:
    """What must hold before the policy can judge the resource.

    If the condition is unknown, so is the finding. If another policy only reports it (``root``, with ``not-applicable`` or ``reported``),
    the clauses are judged nevertheless: a violated one fails.
    """

    that: Comparison
    """The condition."""
    otherwise: str
    """Why the policy does not judge the resource, with ``{PATH}`` for facts."""
    when: tuple[Comparison, ...] = ()
    """The condition counts only if all of these hold."""
    root: str = ""
    """The policy that reports it: its finding on the same host and resource."""
    verdict: Literal["not-applicable", "error", "fail", "reported"] = "not-applicable"
    """The verdict if the condition does not hold. ``reported``: not-applicable while the root fails; else the other parts decide."""

    @property
    def is_excuse(self) -> bool:
        """Return whether the condition only says which other policy reports a fault."""
        return bool(self.root) and self.verdict in ("not-applicable", "reported")


@dataclass(frozen=True)
class Wanted:
    """What a configuration key must be. A plain text means ``is``."""

    is_: str | None = None
    """The value that the key must have. An empty text means that it must not be set."""
    one_of: tuple[str, ...] = ()
    """The values that the key may have. An empty text means unset."""
    like: tuple[str, ...] = ()
    """Patterns, with ``*`` for any text, of the values that the key may have. An unset key fits none."""
    above: int | None = None
    """The size or number that the value must exceed, as Incus reads it (``1GiB``)."""
    in_: Value | None = None
    """The list of the values that the key may have, for example ``{entry: networks}``."""
    unless: tuple[Comparison, ...] = ()
    """If all of these hold, any value is allowed."""
    set: str | None = None
    """The value that a fix sets; default: that of ``is``, else the key is unset."""


@dataclass(frozen=True)
class Refusal:
    """When a script must not make the fix."""

    when: tuple[Comparison, ...]
    """The fix is refused if all of these hold."""
    text: str
    """What a person must do instead."""


@dataclass(frozen=True)
class Keys:
    """Configuration keys of a resource, as they take effect, whatever gives them their value."""

    must: Mapping[str, Wanted] = field(default_factory=dict)
    """The keys, each with what it must be. A ``*`` in a key stands for any text."""
    equal: Value | None = None
    """Keys and values from the site file, for example ``{entry: config}``. Values are compared as Incus reads them: 1GiB is 1024MiB."""
    about: str = ""
    """What the keys belong to, as the finding shows it before a wrong key, for example ``for root``."""
    of: str = ""
    """The fact with the keys; default: ``expanded_config`` of an instance, ``incus.config`` of a host and a cluster, else ``config``."""
    when: tuple[Comparison, ...] = ()
    """The keys count only if all of these hold."""
    effect: tuple[Clause, ...] = ()
    """What shows that the keys are in force. It counts if all keys are right. A violation always makes the fix restart the instance."""
    live: tuple[str, ...] = ()
    """The keys that take effect without a restart of the instance; ``*``: all of them."""
    refuse: tuple[Refusal, ...] = ()
    """When a script must not set the keys."""


@dataclass(frozen=True)
class Devices:
    """Devices of an instance, with those that its profiles give."""

    types: tuple[str, ...]
    """The types of devices, for example ``disk``."""
    only: Mapping[str, Wanted] = field(default_factory=dict)
    """The policy looks only at devices whose keys are like this."""
    allowed: tuple[Mapping[str, Wanted], ...] = ()
    """A device is allowed if its keys are like one of these. Without this and ``listed`` no device is allowed."""
    listed: str = ""
    """The list of the site file that allows single devices: ``host_paths`` or ``proxies``."""
    shows: str = ""
    """What the finding shows of a device, with ``{KEY}`` for its keys; default: its type and what it gives to the guest."""
    if_none: str = ""
    """Why an instance without such a device is left out; default: it complies."""


@dataclass(frozen=True)
class Listed(Clause):
    """A list, compared with another one, or a value that must be on a list."""

    operators: ClassVar[tuple[str, ...]] = ("one_of", "none_of", "has", "lacks", "within", "covers")


@dataclass(frozen=True)
class Threshold(Clause):
    """A number, compared with a limit."""

    operators: ClassVar[tuple[str, ...]] = ("at_least", "at_most")


@dataclass(frozen=True)
class Join:
    """Facts that belong to an entry of the site file."""

    in_: str
    """The path of the facts: a mapping by name, or a list of records with a name."""
    at: Value = field(default_factory=Value)
    """The name, for example ``{entry: vlan.interface}``; default: the entry's name. Without a value (``null``) nothing is joined."""
    missing: str = ""
    """What the finding shows if there is none, with ``{PATH}`` for facts."""
    root: str = ""
    """The policy that reports that there is none: then there is nothing to judge. Without it, the finding fails."""
    verdict: Literal["fail", "error"] = "fail"
    """The verdict if there is none and no other policy reports it. After ``error`` the other clauses still count."""


@dataclass(frozen=True)
class Joined:
    """Facts, joined with the entry of the site file for the same resource."""

    must: tuple[Clause, ...]
    """What must hold of them."""
    each: Literal["", "bridges", "pools", "projects"] = ""
    """The list of the site file, one finding for each entry; default: one for each resource of the kind."""
    with_: Mapping[str, Join] = field(default_factory=dict)
    """Names for the facts that belong to the entry; the paths below begin with these names."""


@dataclass(frozen=True)
class Forms:
    """The forms of one policy. Together they make one finding for each resource."""

    keys: tuple[Keys, ...] = ()
    devices: Devices | None = None
    threshold: tuple[Threshold, ...] = ()
    listed: tuple[Listed, ...] = ()
    joined: Joined | None = None
    needs: tuple[Need, ...] = ()
    """What must hold before the policy can judge a resource."""
    shows: str = ""
    """What a compliant finding shows, with ``{PATH}`` for facts; default: the text of each clause."""
    fix: Mapping[str, Value] = field(default_factory=dict)
    """The values for the parameters of the remediation. The forms ``keys`` and ``devices`` add theirs."""

    @cached_property
    def clauses(self) -> tuple[Clause, ...]:
        """Return the clauses of ``threshold``, ``listed`` and ``joined``."""
        return (*self.threshold, *self.listed, *(self.joined.must if self.joined else ()))

    @property
    def names(self) -> tuple[str, ...]:
        """Return the names of the forms that the policy has."""
        return tuple(name for name in FORMS if getattr(self, name))


FORMS: Mapping[str, type] = {
    "keys": Keys,
    "devices": Devices,
    "threshold": Threshold,
    "listed": Listed,
    "joined": Joined,
}
