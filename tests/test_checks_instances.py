"""Checks of instances: what a remediation is told, what a finding says, and hosts that are not looked at or in no cluster."""

from __future__ import annotations

import pytest

from sigsrv.authoring import document
from sigsrv.judge.checks import load_checks
from sigsrv.judge.evaluate import evaluate
from sigsrv.model import data, policy

POLICIES = policy.load()
CHECKS = load_checks(data.folder("checks"))
INSTANCES = [each for each in POLICIES.values() if each.id.startswith("INST")]
WEB = "sigsrv/default/web"


def judged(content, hosts=("sigsrv", "minisrv")):
    desired, facts = document.facts_of(content)
    return {found.id: found for found in evaluate(INSTANCES, CHECKS, desired, {name: facts[name] for name in hosts})}


def with_keys(keys, name="web", own=True, profile=None):
    """The example's evidence with keys of an instance, its own or its profile's."""
    content = document.document()
    row = content["cluster"]["instances"][name]
    row["expanded_config"] |= keys
    if own:
        row["config"] |= keys
    if profile:
        content["cluster"]["profiles"][profile]["config"] |= keys
    return content


def test_a_key_of_a_profile_is_overridden_on_the_instance():
    """The finding says whose it is; a value on the instance wins, and needs no restart where it is live."""
    found = judged(with_keys({"security.nesting": "true"}, own=False, profile="svc"))[f"INST-002@{WEB}"]

    assert found.observed == "security.nesting is true (from profile svc)"
    assert found.fix["set"] == ["security.nesting=false"]
    assert (found.fix["unset"], found.fix["restart"], found.fix["refuse"]) == ([], False, "")


@pytest.mark.parametrize("own", [True, False])
def test_a_text_of_a_profile_is_a_persons_to_take_away(own):
    """No value on the instance takes it away; its own one would show the profile's when it is gone."""
    found = judged(with_keys({"raw.lxc": "lxc.apparmor.profile=unconfined"}, own=own, profile="svc"))[f"INST-003@{WEB}"]

    assert found.fix["refuse"] == "raw.lxc comes from profile svc: remove it there"


def test_a_text_of_the_instance_is_taken_away_with_a_restart():
    """Such a key takes effect at the start only."""
    found = judged(with_keys({"raw.lxc": "lxc.apparmor.profile=unconfined"}))[f"INST-003@{WEB}"]

    assert found.observed == "raw.lxc is lxc.apparmor.profile=unconfined"
    assert (found.fix["unset"], found.fix["restart"], found.fix["refuse"]) == (["raw.lxc"], True, "")


def test_a_long_text_is_shown_by_its_beginning():
    """On one line."""
    found = judged(with_keys({"raw.lxc": "a\n" * 100}))[f"INST-003@{WEB}"]

    assert found.observed == "raw.lxc is " + ("a " * 29)[:57] + "..."


@pytest.mark.parametrize("key", ["raw.apparmor", "linux.kernel_modules"])
def test_what_is_live_needs_no_restart(key):
    """Incus loads AppArmor's profile anew; a module is loaded already."""
    assert judged(with_keys({key: "x"}))[f"INST-003@{WEB}"].fix["restart"] is False


@pytest.mark.parametrize(("status", "refused"), [("Running", True), ("Stopped", False)])
@pytest.mark.parametrize(
    "case", [("INST-003", {"raw.qemu": "-snapshot"}), ("INST-012", {"security.secureboot": "false"})]
)
def test_a_virtual_machine_that_runs_is_left_to_a_person(case, status, refused):
    """What QEMU or its firmware is started with can't be proven while it runs."""
    content = with_keys(case[1], "vm")
    content["cluster"]["instances"]["vm"]["status"] = status

    assert bool(judged(content)[f"{case[0]}@minisrv/user-john/vm"].fix["refuse"]) is refused


def test_an_image_that_can_t_boot_with_secure_boot_is_left_to_a_person():
    """Also while it is stopped."""
    content = with_keys({"security.secureboot": "false", "image.requirements.secureboot": "false"}, "vm")
    content["cluster"]["instances"]["vm"]["status"] = "Stopped"

    assert "can't boot with Secure Boot" in judged(content)["INST-012@minisrv/user-john/vm"].fix["refuse"]


def test_exempt_keys_are_named_and_the_others_judged():
    """The reason stands with the verdict."""
    content = with_keys({"raw.lxc": "x", "raw.idmap": "both 0 0"})
    content["site"]["exempt"]["INST-003"] = [{"match": "default/*", "reason": "it must", "keys": ["raw.lxc"]}]

    found = judged(content)[f"INST-003@{WEB}"]

    assert (found.verdict, found.observed) == ("fail", "raw.idmap is both 0 0")
    assert found.reason == "the site exempts raw.lxc: it must"
    assert found.fix["unset"] == ["raw.idmap"]


def limited(usage, keys, status="Running"):
    """The example's evidence with an instance that has no limits but these, and uses so much."""
    content = document.document()
    row = content["cluster"]["instances"]["web"]
    memory, processes = usage or (0, 0)
    row |= {
        "expanded_config": keys,
        "status": status,
        "state": {"memory": {"usage": 1, "usage_peak": memory}, "processes": processes} if usage else None,
    }
    return judged(content)[f"INST-006@{WEB}"]


GIB = 1024**3


@pytest.mark.parametrize(
    ("usage", "status", "keys", "refused"),
    [
        ((GIB, 10), "Running", {}, ""),
        ((3 * GIB, 10), "Running", {}, "3221225472 bytes of memory, more than 2GiB"),
        ((GIB, 2001), "Running", {}, "2001 processes, more than 2000"),
        ((3 * GIB, 10), "Running", {"limits.memory": "4GiB"}, ""),
        ((3 * GIB, 10), "Running", {"limits.memory": "2GiB", "limits.memory.enforce": "soft"}, "more than 2GiB"),
        ((GIB, 10), "Running", {"limits.memory": "50%", "limits.memory.enforce": "soft"}, "does not know how much"),
        (None, "Running", {}, "does not know how much"),
        (None, "Stopped", {}, ""),
        ((2 * GIB, 2000), "Running", {}, ""),
        (None, "Running", {"limits.memory": "50%", "limits.processes": "9"}, ""),
        ((GIB, 10), "Running", {"limits.memory": "50%", "limits.cpu": "1"}, ""),
        (None, "Running", {"limits.memory": "1GiB"}, "does not know how much"),
    ],
)
def test_limits_below_what_is_used_are_refused(usage, status, keys, refused):
    """Else what runs would be killed. What nobody told is not known."""
    found = limited(usage, keys, status)

    assert found.verdict == "fail"
    assert refused in found.fix["refuse"]
    assert bool(refused) is bool(found.fix["refuse"])


def test_only_missing_limits_are_set():
    """What is there stays as it is, and no restart is needed."""
    found = limited((GIB, 10), {"limits.memory": "4GiB", "limits.processes": "5"})

    assert (found.fix["set"], found.fix["restart"]) == (["limits.cpu=2"], False)


def test_what_holds_is_shown():
    """A pass says what was seen, too."""
    found = judged(document.document())

    assert found[f"INST-003@{WEB}"].observed == "none of these keys"
    assert found[f"INST-006@{WEB}"].observed == "limits.cpu is 1, limits.memory is 1GiB, limits.processes is 500"
    assert found["INST-006@minisrv/user-john/vm"].observed == "the default limits of a virtual machine"
    assert limited((1, 1), {}).observed == "limits.memory is unset; limits.cpu is unset; limits.processes is unset"


@pytest.mark.parametrize(("id_map", "restart"), [("[]", True), ('[{"Hostid":1000000}]', False)])
def test_a_privileged_container_is_restarted_where_it_runs_so(id_map, restart):
    """One that was made privileged since its start still has its id map."""
    content = with_keys({"security.privileged": "true"})
    content["cluster"]["instances"]["web"]["config"]["volatile.idmap.current"] = id_map

    found = judged(content)[f"INST-001@{WEB}"]

    assert found.observed == "security.privileged is true"
    assert (found.fix["set"], found.fix["restart"]) == (["security.privileged=false"], restart)


def test_a_container_that_is_stopped_need_not_be_restarted():
    """It has no id map, for it does not run."""
    assert judged(with_keys({"security.privileged": "1"}, "db"))["INST-001@minisrv/default/db"].fix["restart"] is False


def test_an_id_map_that_a_restart_does_not_help_is_made_anew():
    """Incus makes one where it sees the key change."""
    content = with_keys({"security.guestapi": "false"})
    content["cluster"]["instances"]["web"]["expanded_config"]["security.idmap.isolated"] = "true"
    content["cluster"]["instances"]["web"] |= {"project": "user-john"}
    found = judged(content)["INST-007@sigsrv/user-john/web"]

    assert found.fix["set"] == ["security.idmap.isolated=false", "security.idmap.isolated=true"]
    assert found.fix["restart"] is True


def test_a_device_that_hides_one_of_a_profile_is_told_as_both():
    """Taken away alone, it would show the profile's."""
    content = document.document()
    device = {"type": "disk", "source": "/etc", "path": "/mnt", "readonly": "1"}
    row = content["cluster"]["instances"]["web"]
    row["devices"]["etc"] = row["expanded_devices"]["etc"] = device
    content["cluster"]["profiles"]["svc"]["devices"]["etc"] = {"type": "disk", "source": "/", "path": "/mnt"}

    found = judged(content)[f"INST-004@{WEB}"]

    assert found.observed == "etc: /etc"
    assert found.fix["devices"] == [
        {
            "name": "etc",
            "type": "disk",
            "own": True,
            "given": True,
            "properties": ["path=/mnt", "readonly=1", "source=/etc"],
        }
    ]


def test_a_device_of_a_profile_says_so():
    """It is masked on the instance, or taken out of the profile by a person."""
    content = document.document()
    device = {"type": "gpu"}
    content["cluster"]["instances"]["web"]["expanded_devices"]["card"] = device
    content["cluster"]["profiles"]["svc"]["devices"]["card"] = device

    found = judged(content)[f"INST-005@{WEB}"]

    assert found.observed == "card: gpu (from profile svc)"
    assert found.fix["devices"][0]["own"] is False


def test_a_critical_instance_on_a_host_that_was_not_selected_is_not_missing():
    """The other daemon lists it all the same."""
    content = document.document()
    content["site"]["critical"] = ["default/web"]

    assert not any("default/web" in key for key in judged(content, ["minisrv"]))


def test_a_critical_instance_of_hosts_in_no_cluster_may_be_on_another_one():
    """Which of them should have it nobody said: neither missing nor passed over."""
    content = document.document()
    content["site"]["critical"] = ["default/dns"]
    content["cluster"]["server"]["environment"]["server_clustered"] = False
    for row in content["cluster"]["instances"].values():
        row["location"] = "none"

    found = judged(content)

    assert {found[f"INST-013@{host}/default/dns"].verdict for host in ("sigsrv", "minisrv")} == {"not-applicable"}


def test_an_error_on_a_host_in_no_cluster_is_its_own():
    """There is no member that could be away."""
    content = document.document()
    content["cluster"]["server"]["environment"]["server_clustered"] = False
    for row in content["cluster"]["instances"].values():
        row |= {"location": "none", "status": "Error"}

    assert judged(content)[f"INST-013@{WEB}"].verdict == "fail"


@pytest.mark.parametrize(
    ("status", "start", "refused"), [("Stopped", True, False), ("Frozen", True, False), ("Error", False, True)]
)
def test_a_critical_instance_is_started_but_not_out_of_an_error(status, start, refused):
    """What went wrong there is a person's to see."""
    content = with_keys({"boot.autostart": "true", "security.protection.delete": "true"})
    content["site"]["critical"] = ["default/web"]
    content["cluster"]["instances"]["web"]["status"] = status

    fix = judged(content)[f"INST-013@{WEB}"].fix

    assert (fix["start"], bool(fix["refuse"])) == (start, refused)


def of_a_user(keys, status="Running", **config):
    """INST-007 of a container of a user; its id map is its own unless ``base``, ``current`` or ``next`` say something else."""
    maps = {"base": "1065536", "current": "[1]", "next": "[1]"} | config
    content = with_keys({"security.guestapi": "false", "security.idmap.isolated": "true"} | keys)
    row = content["cluster"]["instances"]["web"]
    row["config"] |= {f"volatile.idmap.{key}": value for key, value in maps.items()}
    row |= {"project": "user-john", "status": status}
    return content


def hardened(content):
    return judged(content)["INST-007@sigsrv/user-john/web"]


@pytest.mark.parametrize(
    ("keys", "wanted", "restart"),
    [
        ({"security.guestapi": "true"}, ["security.guestapi=false"], False),
        ({"security.guestapi.images": "true"}, ["security.guestapi.images=false"], False),
        ({"security.idmap.isolated": "false"}, ["security.idmap.isolated=true"], True),
    ],
)
def test_only_an_id_map_needs_a_restart(keys, wanted, restart):
    """The guest API comes and goes while a container runs."""
    fix = hardened(of_a_user(keys)).fix

    assert (fix["set"], fix["restart"]) == (wanted, restart)


@pytest.mark.parametrize("now", ["[2]", "", "[]"])
def test_a_pending_id_map_needs_a_restart_alone(now):
    """Incus has the new one ready."""
    found = hardened(of_a_user({}, current=now))

    assert (found.verdict, found.fix["set"], found.fix["restart"]) == ("fail", [], True)
    assert "a restart is pending" in found.observed


def test_an_id_map_is_nobodys_business_where_its_key_is_exempt():
    """Nor is the one that it runs with."""
    content = of_a_user({}, base="0")
    content["site"]["exempt"]["INST-007"] = [{"match": "*", "reason": "r", "keys": ["security.idmap.isolated"]}]

    assert hardened(content).verdict == "pass"


def test_a_wrong_key_is_a_failure_although_the_state_is_not_known():
    """So is an id map that no restart would put right."""
    assert hardened(of_a_user({}, "Error")).verdict == "pass"
    assert hardened(of_a_user({}, "Error", current="[2]")).verdict == "error"
    assert hardened(of_a_user({"security.guestapi": "true"}, "Error", current="[2]")).verdict == "fail"
    assert hardened(of_a_user({}, "Error", base="0")).verdict == "fail"


def test_images_of_the_host_are_nobodys_in_a_project_that_the_site_does_not_know():
    """What is wrong in any project is wrong there."""
    content = of_a_user({"security.guestapi.images": "true"})
    content["site"]["projects"] = [{"match": "default", "kind": "system"}]

    assert hardened(content).verdict == "fail"


@pytest.mark.parametrize("policy_id", ["INST-009", "INST-010"])
def test_where_nobody_can_tell_of_an_instance_nothing_is_called_none(policy_id):
    """It may have a proxy device, or a NIC that is to be filtered."""
    content = document.document()
    content["cluster"]["instances"]["db"] |= {"status": "Error", "config": None}
    content["minisrv"]["failures"]["api"] = {"kind": "down", "reason": "nothing answers"}

    found = {key: each.verdict for key, each in judged(content).items() if key.startswith(policy_id)}

    assert found == {f"{policy_id}@minisrv/default/db": "error"}


def test_nics_are_shown_by_what_they_hang_on():
    """With the profile that gives them, and what they lack."""
    content = document.document()
    content["site"]["antispoof"] = {"sigsrvbr0": ["mac", "ipv6"]}
    row = content["cluster"]["instances"]["web"]["expanded_devices"]
    row["eth1"] = {"type": "nic", "nictype": "bridged", "parent": "sigsrvbr0", "security.mac_filtering": "true"}
    row["eth2"] = {"type": "nic", "network": "sigsrvbr0", "security.ipv6_filtering": "true"}
    content["cluster"]["profiles"]["svc"]["devices"]["eth1"] = row["eth1"]

    found = judged(content)

    assert found[f"INST-011@{WEB}"].observed == "eth1: nictype bridged, parent sigsrvbr0 (from profile svc)"
    assert found["INST-011@minisrv/user-john/vm"].observed == "eth0: network userbr0"
    assert found["INST-011@minisrv/default/db"].observed == "no NIC"
    assert found[f"INST-010@{WEB}"].observed == "eth0: no mac, no ipv6; eth1: no ipv6 (from profile svc); eth2: filters"


def test_virtual_machines_that_may_be_on_a_member_that_is_away_are_not_called_none():
    """An instance that nobody could tell of may be one."""
    content = document.document()
    content["cluster"]["instances"]["vm"]["type"] = "container"
    content["cluster"]["instances"]["db"] |= {"status": "Error", "config": None}
    content["minisrv"]["failures"]["api"] = {"kind": "down", "reason": "nothing answers"}

    found = [key for key in judged(content) if key.startswith("INST-012")]

    assert found == ["INST-012@minisrv/default/db"]


def test_a_virtual_machine_is_told_both_keys():
    """Secure Boot is on and the BIOS off."""
    content = with_keys({"security.secureboot": "0", "security.csm": "1"}, "vm")

    assert judged(content)["INST-012@minisrv/user-john/vm"].fix["set"] == [
        "security.secureboot=true",
        "security.csm=false",
    ]
