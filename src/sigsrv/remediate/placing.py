"""Chooses where a fix is made that a profile gives to an instance: on the instance itself, or on the profile. Pure: it reads findings.

On the profile the fix changes all instances that have it, so the plan names each of them, with what changes for it.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from enum import StrEnum
from typing import Any
from urllib.parse import quote

from sigsrv.model.finding import Finding
from sigsrv.model.lasting import Change, Config, IncusObject, Known
from sigsrv.report import phrases

ON_PROFILE = "set-profile-config"
_MOVABLE = ("set-instance-config", "detach-devices")
_MOST_RESTARTS = 5  # each may take 100 s, and a script has 600 s
_SHOWN = 40  # characters of a value that a line shows


class At(StrEnum):
    """Names where the fix of what a profile gives is made."""

    INSTANCE = "instance"
    PROFILE = "profile"


@dataclass(frozen=True)
class User:
    """An instance that has the profile.

    guest: PROJECT/NAME. host: that has it, "" if the site file does not have that host. changes: what changes for it, a line each. devices:
    whether devices go.
    """

    guest: str
    host: str
    changes: tuple[str, ...]
    devices: bool = False


@dataclass(frozen=True)
class Place:
    """What a fix can change on a profile in place of the instance.

    owner: the project that has the profile. set: value by key; unset: keys. devices: those to remove, by name. users: all instances that
    have the profile. problem: why the fix can't be made there, "" if it can.
    """

    profile: str
    owner: str
    set: Mapping[str, str]
    unset: tuple[str, ...]
    devices: Mapping[str, Config]
    users: tuple[User, ...]
    problem: str

    @property
    def name(self) -> str:
        return f"{self.owner}/{self.profile}"


def placed(finding: Finding, at: At) -> Finding:
    """Return the finding with the fix at the chosen place. One that no profile has to do with stays as it is."""
    place = place_of(finding) if at is At.PROFILE else None
    if place is None:
        return finding
    fix, restart = finding.fix, []
    if fix.get("restart") is True:
        restart = [{"instance": fix["instance"], "project": fix["project"]}]
    values = {
        "profile": place.profile,
        "owner": place.owner,
        "set": [f"{key}={value}" for key, value in place.set.items()],
        "unset": list(place.unset),
        "devices": [
            {
                "name": name,
                "type": device.get("type"),
                "properties": [f"{key}={value}" for key, value in sorted(device.items()) if key != "type"],
            }
            for name, device in place.devices.items()
        ],
        "restart": restart,
        "used_by": [_path(user.guest) for user in place.users],
        "guests": [user.guest for user in place.users if user.devices],
        "users": [{"guest": user.guest, "host": user.host, "changes": list(user.changes)} for user in place.users],
        "refuse": "; ".join(filter(None, (fix.get("refuse_anywhere", ""), place.problem))),
    }
    return replace(finding, remediation=ON_PROFILE, fix=values)


def _path(guest: str) -> str:
    """Return the path of an instance as a profile lists it in used_by."""
    project, _, name = guest.partition("/")
    return f"/1.0/instances/{quote(name)}" + (f"?project={quote(project)}" if project != "default" else "")


def merged(fixes: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
    """Return the values for one script that makes all these changes of one profile."""
    users: dict[str, dict[str, Any]] = {}
    for fix in fixes:
        for user in fix["users"]:
            found = users.setdefault(user["guest"], {**user, "changes": []})
            found["changes"] = _unique([*found["changes"], *user["changes"]])
    lists = {
        name: _unique(each for fix in fixes for each in fix[name])
        for name in ("set", "unset", "devices", "restart", "guests")
    }
    too_many = (
        f"{len(lists['restart'])} instances would have to restart, and one step restarts at most {_MOST_RESTARTS}: name fewer findings"
        if len(lists["restart"]) > _MOST_RESTARTS
        else ""
    )
    return {
        **fixes[0],
        **lists,
        "users": list(users.values()),
        "refuse": "; ".join(_unique(filter(None, [*(fix["refuse"] for fix in fixes), too_many]))),
    }


def _unique(values: Iterable[Any]) -> list[Any]:
    found: list[Any] = []
    for each in values:
        if each not in found:
            found.append(each)
    return found


def place_of(finding: Finding) -> Place | None:
    """Return what the fix can change on a profile; None if the instance itself has all that is wrong, or if nothing is known of it."""
    fix, known = finding.fix, finding.known
    if finding.remediation not in _MOVABLE or known is None or "instance" not in fix:
        return None
    project, instance = fix["project"], fix["instance"]
    own = known.object_of(Change("instance", instance, project=project))
    profiles = known.profiles_of(project, instance)
    if own is None or not profiles:
        return None
    wanted = {**_pairs(fix.get("set", ())), **dict.fromkeys(fix.get("unset", ()), "")}
    devices = [each["name"] for each in fix.get("devices", ())]
    givers = [_giver(profiles, key, is_device=False) for key in wanted if key not in own.config]
    givers += [_giver(profiles, name, is_device=True) for name in devices if name not in own.devices]
    top = next((each for each in givers if each), None)
    if top is None:
        return None
    problems = [*_problems(fix, own, top, wanted, devices), *_elsewhere(profiles, top, wanted, devices)]
    users = known.users(top.project, top.name)
    if users is None:
        problems.append(
            f"an instance could not be read, so nobody knows which ones have profile {top.project}/{top.name}"
        )
    gone = {name: top.devices[name] for name in devices if name in top.devices}
    if any(value is None for device in gone.values() for value in device.values()):
        problems.append("a device has a secret value, which no undo could restore")
    return Place(
        top.name,
        top.project,
        {key: value for key, value in wanted.items() if value},
        tuple(key for key, value in wanted.items() if not value),
        gone,
        tuple(_user(each, top, wanted, gone, known) for each in users or ()),
        "; ".join(problems),
    )


def _pairs(settings: Iterable[str]) -> dict[str, str]:
    return {key: value for key, _, value in (each.partition("=") for each in settings)}


def _giver(profiles: Sequence[IncusObject], name: str, is_device: bool) -> IncusObject | None:
    return next((each for each in reversed(profiles) if name in (each.devices if is_device else each.config)), None)


def _problems(
    fix: Mapping[str, Any], own: IncusObject, top: IncusObject, wanted: Mapping[str, str], devices: Sequence[str]
) -> list[str]:
    """Return why a change of the profile alone does not end the finding."""
    found = [f"{key} is set on {own.project}/{own.name} itself" for key in wanted if key in own.config]
    found += [f"{own.project}/{own.name} itself has a device {name}" for name in devices if name in own.devices]
    found += [
        f"profile {top.project}/{top.name} does not give {what}"
        for what in [
            *(key for key in wanted if key not in top.config and key not in own.config),
            *(f"device {name}" for name in devices if name not in top.devices and name not in own.devices),
        ]
    ]
    if fix.get("start"):
        found.append("the fix starts the instance")
    if len(fix.get("set", ())) != len(_pairs(fix.get("set", ()))):
        found.append("Incus acts on a key only when its value changes on the instance")
    return [f"{each}: use --at instance" for each in found]


def _elsewhere(
    profiles: Sequence[IncusObject], top: IncusObject, wanted: Mapping[str, str], devices: Sequence[str]
) -> list[str]:
    """Return what another profile of the instance gives when this one no longer does."""
    others = [each for each in profiles if each is not top]
    again = [(key, _giver(others, key, is_device=False)) for key, value in wanted.items() if not value]
    again += [(f"device {name}", _giver(others, name, is_device=True)) for name in devices]
    return [f"profile {each.project}/{each.name} gives {what} too" for what, each in again if each]


def _user(
    instance: IncusObject, top: IncusObject, wanted: Mapping[str, str], gone: Mapping[str, Config], known: Known
) -> User:
    """Return what changes for an instance that has the profile."""
    profiles = known.profiles_of(instance.project, instance.name) or ()
    after = [
        replace(each, config=_without(each.config, wanted), devices=_less(each.devices, gone))
        if _same(each, top)
        else each
        for each in profiles
    ]
    lines = []
    for key in wanted:
        now, then = _value(instance, profiles, key), _value(instance, after, key)
        if now != then:
            lines.append(f"{key}: {_text(now)} -> {_text(then)}")
    lost = [
        name
        for name in gone
        if name not in instance.devices
        and _giver(profiles, name, is_device=True) != _giver(after, name, is_device=True)
    ]
    lines += [f"device {name}: gone" for name in lost]
    return User(f"{instance.project}/{instance.name}", instance.host, tuple(lines), bool(lost))


def _same(one: IncusObject, other: IncusObject) -> bool:
    return (one.project, one.name) == (other.project, other.name)


def _without(config: Config, wanted: Mapping[str, str]) -> Config:
    return {key: value for key, value in {**config, **wanted}.items() if value != ""}


def _less(devices: Mapping[str, Config], gone: Mapping[str, Config]) -> Mapping[str, Config]:
    return {name: device for name, device in devices.items() if name not in gone}


def _value(instance: IncusObject, profiles: Sequence[IncusObject], key: str) -> str | None:
    """Return the value that an instance has, after all profiles; None if it is secret."""
    if key in instance.config:
        return instance.config[key]
    giver = _giver(profiles, key, is_device=False)
    return giver.config[key] if giver else ""


def _text(value: str | None) -> str:
    if value is None:
        return "(secret)"
    line = " ".join(value.split())
    return (line if len(line) <= _SHOWN else f"{line[:_SHOWN]}...") or "(unset)"


def hosts_of(findings: Sequence[Finding]) -> list[str]:
    """Return the hosts with an instance that these findings of one step change by its profile; none for other steps."""
    if findings[0].remediation != ON_PROFILE:
        return []
    users = merged([each.fix for each in findings])["users"]
    return _unique(user["host"] for user in users if user["host"] and user["changes"])


def chosen(findings: Sequence[Finding]) -> list[str]:
    """Return where the fix of these findings of one step is made, if there is a choice, and how to take the other one; a line each."""
    if findings[0].remediation == ON_PROFILE:
        values = merged([each.fix for each in findings])
        count = phrases.count(len(values["users"]), "instance has", "instances have")
        ends = {f"{each['project']}/{each['instance']}" for each in values["restart"]}
        lines = [
            f"at the profile {values['owner']}/{values['profile']}, which {count}; --at instance changes only the instance"
        ]
        for user in values["users"]:
            when = "; restarts if it runs" if user["guest"] in ends else ""
            lines.append(f"{user['guest']}: {', '.join(user['changes']) or 'nothing changes'}{when}")
        return lines
    places = {place.name: place for each in findings if (place := place_of(each))}
    return [
        f"at the instance; profile {name} gives it to {phrases.count(len(place.users), 'instance')}: --at profile changes it there"
        for name, place in places.items()
        if not place.problem
    ]
