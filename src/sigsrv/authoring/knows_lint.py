"""Finds mistakes in ``knows`` of a policy: groups and keys that no Incus has, and keys that nobody has judged.

The lists of keys are those of the daemons (``sigsrv/incus_keys``). When the list of a newer Incus is added, lint names each of its keys
that lies in a group of a policy and that the policy does not name.
"""

from __future__ import annotations

from collections.abc import Iterator

from sigsrv.judge.form_keys import fits
from sigsrv.judge.known_keys import ENTITIES, KnownKeys, read_by_itself
from sigsrv.model import incus_keys, yamlfile
from sigsrv.model.errors import UsageError
from sigsrv.model.policy import Policy


def mistakes(policy: Policy) -> Iterator[UsageError]:
    """Yield the mistakes in ``knows`` of a policy, each with file and line."""
    if not policy.knows:
        return
    document = yamlfile.load(policy.path)
    for entity, groups in policy.knows.items():
        if entity not in ("server", *ENTITIES.get(policy.examines, ())):
            allowed = ", ".join(["server", *ENTITIES.get(policy.examines, ())])
            message = f"a {policy.examines} has no keys of {entity}"
            yield document.error(("knows", entity), message, f"it has those of {allowed}")
            continue
        keys, samples = incus_keys.keys(entity), incus_keys.samples(entity)
        read = {key for of, key in read_by_itself(policy) if of == entity}
        for group, named in groups.items():
            place = ("knows", entity, group)
            if not any(fits(key, group) for key in samples):
                yield document.error(
                    place, f"no key of {entity} is in the group {group}", incus_keys.hint(group, entity)
                )
            for index, key in enumerate(named):
                if not fits(key.replace("*", ""), group):
                    yield document.error((*place, index), f"{key} is not in the group {group}")
                elif key in read:
                    yield document.error((*place, index), f"the policy reads {key} itself", "remove it from the list")
                elif not any(fits(each, key) for each in samples):
                    yield document.error((*place, index), f"no key of {entity} is {key}", incus_keys.hint(key, entity))
            known = KnownKeys(policy, entity)
            new = sorted(key for key in keys if fits(key, group) and not known.knows(incus_keys.sample(key)))
            if new:
                message = f"the policy does not say that it knows {', '.join(new)}"
                yield document.error(
                    place, message, "judge each key, or add it to the list if it can't change the verdict"
                )
