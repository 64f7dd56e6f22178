"""The form ``devices``: devices of instances, with those that profiles give.

A device of type ``none`` is no device: it masks the device of a profile.
"""

from __future__ import annotations

from collections.abc import Mapping

from sigsrv.facts.clusters import ClusterFacts
from sigsrv.facts.hosts import HostFacts
from sigsrv.facts.resources import Config, Instance
from sigsrv.judge.clauses import Clauses
from sigsrv.judge.form_keys import is_right
from sigsrv.judge.form_values import Subject, parts
from sigsrv.model.forms import Devices, Wanted
from sigsrv.model.site import Site


def judge_devices(
    form: Devices, subject: Subject, facts: HostFacts | ClusterFacts, site: Site, finding: Clauses
) -> None:
    """Record a clause for each device that is not allowed, and the values for the remediation ``detach-devices``."""
    instance = subject.facts
    if not isinstance(instance, Instance) or not isinstance(facts, ClusterFacts):
        raise TypeError("the form devices examines instances")
    chosen = chosen_devices(form, instance, subject)
    forbidden: list[str] = []
    for name, device in chosen.items():
        with finding.clause():
            if not _is_allowed(form, subject, device, site):
                forbidden.append(name)
                finding.violated(_shown(form, name, device) + _origin(facts, instance, name))
    if not forbidden:
        none = f"no {' or '.join(form.types)} device"
        finding.holds(", ".join(_text(form, device) for device in chosen.values()) or none)
    if finding.is_violated:
        finding.fix |= {
            "instance": instance.name,
            "project": instance.project,
            "devices": [_to_detach(facts, instance, name) for name in forbidden],
        }


def chosen_devices(form: Devices, instance: Instance, subject: Subject) -> dict[str, Config]:
    """Return the devices that the form looks at, by name, in the order of their names."""
    found = {name: each for name, each in instance.expanded_devices.items() if each.get("type") in form.types}
    return {name: found[name] for name in sorted(found) if _fits(found[name], form.only, subject)} if found else found


def _fits(device: Config, wanted: Mapping[str, Wanted], subject: Subject) -> bool:
    return all(is_right(key, device.get(key, "").strip(), each, subject) for key, each in wanted.items())


def _is_allowed(form: Devices, subject: Subject, device: Config, site: Site) -> bool:
    if any(_fits(device, each, subject) for each in form.allowed):
        return True
    return bool(form.listed) and any(entry.allows(subject.resource, device) for entry in getattr(site, form.listed))


def _text(form: Devices, device: Config) -> str:
    """Return what a finding shows of a device: the form's text, else the keys that say what it gives to the guest."""
    if form.shows:
        return "".join(device.get(part) or "none" if is_key else part for is_key, part in parts(form.shows))
    return " ".join(device[key] for key in ("type", "source", "path", "address", "vendorid") if device.get(key))


def _shown(form: Devices, name: str, device: Config) -> str:
    return f"{name}: {_text(form, device)}"


def _origin(facts: ClusterFacts, instance: Instance, name: str) -> str:
    origin = facts.incus.device_origin(instance, name)
    return "" if origin in (None, "instance") else f" (from profile {origin})"


def _to_detach(facts: ClusterFacts, instance: Instance, name: str) -> dict[str, object]:
    """Return what the remediation ``detach-devices`` needs to know about a device."""
    own = instance.devices.get(name, {})
    return {
        "name": name,
        "type": instance.expanded_devices[name]["type"],
        "own": name in instance.devices,
        "given": facts.incus.profile_with_device(instance, name) is not None,
        "properties": [f"{key}={value}" for key, value in sorted(own.items()) if key != "type"],
    }
