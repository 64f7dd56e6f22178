"""Tests where the fix of what a profile gives is made, what it means for all instances that have the profile, and when it is refused."""

from __future__ import annotations

import dataclasses
from typing import Any

import pytest

from sigsrv.model.finding import Finding
from sigsrv.model.fix import fix_for
from sigsrv.model.lasting import Change, IncusObject
from sigsrv.remediate.effects import effects, guests_restarted
from sigsrv.remediate.merging import merged_steps
from sigsrv.remediate.placing import At, chosen, hosts_of, place_of, placed
from tests.test_permanent_tofu import EVIDENCE, known
from tests.test_remediate_merging import ids, wants
from tests.test_remediation import REMEDIATIONS

HOSTZERO = {"type": "unix-char", "source": "/dev/zero", "path": "/dev/hostzero"}


class World:
    """The instances a and b with the profile svc, a also with the profile base before it. values: of a and of both profiles."""

    def __init__(
        self, *, own: dict | None = None, base: dict | None = None, svc: dict | None = None, devices: dict | None = None
    ) -> None:
        self.profiles = (
            IncusObject("profile", "base", "default", config=base or {}),
            IncusObject("profile", "svc", "default", config=svc or {}, devices=devices or {}),
        )
        self.instances: tuple[IncusObject, ...] | None = (
            IncusObject("instance", "a", "default", config=own or {}, profiles=("base", "svc")),
            IncusObject("instance", "b", "user-bob", config={"raw.lxc": "own"}, profiles=("svc",), host="h2"),
        )

    managers = ()

    def is_nixos(self, host: str) -> bool:
        return False

    def object_of(self, change: Change) -> IncusObject | None:
        return next((each for each in self.instances or () if each.name == change.name), None)

    def profiles_of(self, project: str, instance: str) -> tuple[IncusObject, ...] | None:
        return self.profiles if instance == "a" else self.profiles[1:]

    def users(self, project: str, profile: str) -> tuple[IncusObject, ...] | None:
        if self.instances is None:
            return None
        return tuple(each for each in self.instances if profile in each.profiles)


def wrong(world: Any, policy: str = "INST-001", **values: Any) -> Finding:
    given = {"resource": "default/a", "refuse_anywhere": "", **values}
    return dataclasses.replace(wants(policy, **given), known=world)


def of_devices(world: Any, *names: str) -> Finding:
    return wrong(world, "INST-005", remediation="detach-devices", devices=[{"name": name} for name in names])


def step_at_profile(*findings: Finding) -> Any:
    (step,) = merged_steps(
        [placed(each, At.PROFILE) for each in findings], lambda each: fix_for(each, REMEDIATIONS, "h")
    )
    return step


PRIVILEGED = {"set": ["security.privileged=false"], "restart": True}


def test_key_of_a_profile_is_set_there_and_all_its_instances_are_named():
    """The profile counts as one object, each instance that changes as another one. Only those of findings restart."""
    world = World(svc={"security.privileged": "true", "raw.lxc": "x\ny"})
    key, raw = wrong(world, **PRIVILEGED), wrong(world, "INST-003", unset=["raw.lxc"], restart=True)

    step = step_at_profile(key, raw)

    assert ids([step]) == [["INST-001@a/default/a", "INST-003@a/default/a"]]
    assert chosen(step.findings) == [
        "at the profile default/svc, which 2 instances have; --at instance changes only the instance",
        "default/a: security.privileged: true -> false, raw.lxc: x y -> (unset); restarts if it runs",
        "user-bob/b: security.privileged: true -> false",
    ]
    assert effects([step]).objects == (
        ("profile", "default/svc"),
        ("instance", "default/a"),
        ("instance", "user-bob/b"),
    )
    assert guests_restarted(step) == ("default/a",)
    assert hosts_of(step.findings) == ["h2"]
    assert "/1.0/instances/a '/1.0/instances/b?project=user-bob'" in step.fix.script
    touched = {(each.kind, each.name, each.key, each.after) for each in step.fix.touches}
    assert ("profile", "default/svc", "security.privileged", "false") in touched
    assert ("guest", "user-bob/b", "", "") not in touched


def test_device_of_a_profile_is_gone_for_all_its_instances():
    world = World(devices={"hostzero": HOSTZERO})

    step = step_at_profile(of_devices(world, "hostzero"))

    assert chosen(step.findings)[1:] == ["default/a: device hostzero: gone", "user-bob/b: device hostzero: gone"]
    assert {each.name for each in step.fix.touches if each.kind == "guest"} == {"default/a", "user-bob/b"}
    assert guests_restarted(step) == ()


def test_default_is_the_instance_and_the_plan_names_the_other_place():
    finding = wrong(World(svc={"security.privileged": "true"}), **PRIVILEGED)

    assert placed(finding, At.INSTANCE) is finding
    assert chosen([finding]) == [
        "at the instance; profile default/svc gives it to 2 instances: --at profile changes it there"
    ]


@pytest.mark.parametrize(
    "finding",
    [
        wrong(World(own={"security.privileged": "true"}), **PRIVILEGED),
        wrong(World(own={"security.privileged": "true"}, svc={"security.privileged": "true"}), **PRIVILEGED),
        wrong(World(), set=["limits.cpu=2"]),
        wrong(None, **PRIVILEGED),
        wrong(World(svc={"security.privileged": "true"}), remediation="filter-nics"),
    ],
)
def test_there_is_no_choice_where_no_profile_gives_what_is_wrong(finding):
    """The instance sets it, or nobody does. Or nothing is known, or the fix is of another kind."""
    assert (place_of(finding), chosen([finding])) == (None, [])
    assert placed(finding, At.PROFILE) is finding


@pytest.mark.parametrize(
    ("world", "values", "problem"),
    [
        (World(svc={"a": "1"}, own={"b": "1"}), {"unset": ["a", "b"]}, "b is set on default/a itself"),
        (World(svc={"a": "1"}, base={"a": "2"}), {"unset": ["a"]}, "profile default/base gives a too"),
        (World(svc={"a": "1"}, base={"b": "2"}), {"unset": ["a", "b"]}, "profile default/svc does not give b"),
        (World(svc={"a": "1"}), {"set": ["a=2"], "start": True}, "the fix starts the instance"),
        (World(svc={"a": "1"}), {"set": ["a=2", "a=1"]}, "only when its value changes on the instance"),
        (World(svc={"a": "1"}), {"unset": ["a"], "refuse_anywhere": "decide by hand"}, "decide by hand"),
        (World(devices={"d": {"type": "nic", "k": None}}), {"devices": ["d"]}, "a device has a secret value"),
    ],
)
def test_fix_that_the_profile_alone_does_not_make_is_refused(world, values, problem):
    """The script says why before it changes anything."""
    finding = of_devices(world, *values["devices"]) if "devices" in values else wrong(world, **values)

    assert problem in placed(finding, At.PROFILE).fix["refuse"]
    assert problem == "decide by hand" or chosen([finding]) == []


def test_fix_is_refused_where_an_instance_could_not_be_read():
    """It may have the profile, and nobody could name it."""
    world = World(svc={"security.privileged": "true"})
    finding = wrong(world, **PRIVILEGED)
    world.users = lambda *_: None

    assert "an instance could not be read" in placed(finding, At.PROFILE).fix["refuse"]


def test_one_step_does_not_restart_more_guests_than_its_time_allows():
    world = World(svc={"security.privileged": "true"})
    rows = [IncusObject("instance", f"i{number}", "default", profiles=("svc",)) for number in range(6)]
    world.instances = tuple(rows)
    findings = [wrong(world, resource=f"default/{row.name}", **PRIVILEGED) for row in rows]

    assert "refused=''" in step_at_profile(*findings[:5]).fix.script
    assert "6 instances would have to restart" in step_at_profile(*findings).fix.script


def test_profiles_of_two_clusters_are_two():
    """They may have one name."""
    worlds = [World(svc={"security.privileged": "true"}) for _ in range(2)]
    findings = [placed(wrong(world, **PRIVILEGED), At.PROFILE) for world in worlds]

    assert len(merged_steps(findings, lambda each: fix_for(each, REMEDIATIONS, "h"))) == 2


def test_users_of_a_profile_are_known_only_if_all_instances_were_read():
    """A member that does not answer leaves rows without a configuration."""
    users = known().users("default", "svc") or ()
    assert [(each.name, each.host) for each in users] == [("svc-a", "sigsrv"), ("svc-b", "minisrv")]
    assert [each.name for each in known().profiles_of("default", "svc-a") or ()] == ["svc"]
    assert known().profiles_of("default", "nowhere") is None

    hosts = {name: dataclasses.replace(each, api=without_config(each.api, "web")) for name, each in EVIDENCE.items()}
    assert known(hosts).users("default", "svc") is None


def without_config(api: Any, name: str) -> dict[str, Any]:
    """Return answers in which the row of an instance has no configuration."""
    found = dict(api)
    for url, answer in api.items():
        if "/instances" in url and isinstance(answer.metadata, list):
            rows = [
                {key: value for key, value in row.items() if key != "config"} if row["name"] == name else row
                for row in answer.metadata
            ]
            found[url] = dataclasses.replace(answer, metadata=rows)
    return found
