"""Compares the forms ``keys`` and ``devices`` with the configuration keys that Incus has."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from fnmatch import fnmatchcase

from sigsrv.judge.fact_schema import Fact, Mistake, Place, named
from sigsrv.model import incus_keys
from sigsrv.model.errors import nearest
from sigsrv.model.policy import Policy

_DEFAULT = {"instance": "expanded_config"}  # the fact with the keys, if the form names none; of others it is ``config``


def form_mistakes(policy: Policy, fact: Fact) -> Iterator[Mistake]:
    """Yield the keys and types of devices that Incus does not have. fact: the schema of the resources.

    The place of a single form has the index 0, as if it were a list.
    """
    facts = fact.facts or {}
    for index, form in enumerate(policy.forms.keys):
        holder = facts.get(form.of.rpartition(".")[2] or _DEFAULT.get(policy.examines, "config"))
        if holder is not None and holder.keys is not None:
            yield from _unknown(form.must, (holder.keys.entity,), ("keys", index, "must"))
            for number, key in enumerate(form.live):
                wrong = _unknown([key], (holder.keys.entity,), ())
                yield from (Mistake(("keys", index, "live", number), each.message, each.hint) for each in wrong)
    if policy.forms.devices is not None:
        devices = policy.forms.devices
        types = [each for each in devices.types if each in incus_keys.DEVICE_TYPES]
        for index, each in enumerate(devices.types):
            if each not in types:
                hint = nearest(each, incus_keys.DEVICE_TYPES)
                yield Mistake(("devices", "types", index), f'Incus has no device of type "{each}"', hint)
        entities = tuple(f"device_{each}" for each in types if each != "none") or ("device",)
        yield from _unknown(devices.only, entities, ("devices", "only"))
        for index, allowed in enumerate(devices.allowed):
            yield from _unknown(allowed, entities, ("devices", "allowed", index))


def _unknown(keys: Iterable[str], entities: tuple[str, ...], place: Place) -> Iterator[Mistake]:
    """Yield a mistake for each key that no entity has. A key with ``*`` must match a key."""
    for key in keys:
        samples = (sample for entity in entities for sample in incus_keys.samples(entity)) if "*" in key else ()
        if any(fnmatchcase(each, key) for each in samples) or any(incus_keys.known(each, key) for each in entities):
            continue
        owner = named(entities[0].partition("_")[0])
        yield Mistake((*place, key), f'{owner} has no configuration key "{key}"', incus_keys.hint(key, *entities))
