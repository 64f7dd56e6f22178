"""Tests the checks of INST: the values of fixes, the texts of findings, unselected hosts and standalone hosts."""

from __future__ import annotations

import copy

import pytest

from sigsrv.authoring import document
from sigsrv.collect import urls
from sigsrv.judge.checks import load_checks
from sigsrv.judge.evaluate import evaluate
from sigsrv.model import data, policy

POLICIES = policy.load()
CHECKS = load_checks(data.folder("checks"))
INSTANCES = [each for each in POLICIES.values() if each.family == "inst" or each.id == "PROJ-009"]
WEB = "sigsrv/default/web"


def findings_of(content, hosts=("sigsrv", "minisrv")):
    desired, facts = document.facts_of(content)
    return {found.id: found for found in evaluate(INSTANCES, CHECKS, desired, {name: facts[name] for name in hosts})}


def with_keys(keys, name="web", own=True, profile=None):
    """Return the example evidence with keys of an instance, set on the instance (own) or in its profile."""
    content = document.document()
    row = content["cluster"]["instances"][name]
    row["expanded_config"] |= keys
    if own:
        row["config"] |= keys
    if profile:
        content["cluster"]["profiles"][profile]["config"] |= keys
    return content


def test_key_from_a_profile_is_overridden_on_the_instance():
    """The finding names the profile. The value on the instance overrides it. A live key needs no restart."""
    found = findings_of(with_keys({"security.nesting": "true"}, own=False, profile="svc"))[f"INST-002@{WEB}"]

    assert found.observed == "security.nesting is true (from profile svc)"
    assert found.fix["set"] == ["security.nesting=false"]
    assert (found.fix["unset"], found.fix["restart"], found.fix["refuse"]) == ([], False, "")


@pytest.mark.parametrize("own", [True, False])
def test_text_key_from_a_profile_is_left_to_a_person(own):
    """No value on the instance can remove it. Unsetting a value on the instance would expose the value of the profile."""
    found = findings_of(with_keys({"raw.lxc": "lxc.apparmor.profile=unconfined"}, own=own, profile="svc"))[
        f"INST-003@{WEB}"
    ]

    assert found.fix["refuse"] == "raw.lxc comes from profile svc: remove it there (--at profile does)"


def test_text_key_of_the_instance_is_unset_with_a_restart():
    """Such a key takes effect only at the next start."""
    found = findings_of(with_keys({"raw.lxc": "lxc.apparmor.profile=unconfined"}))[f"INST-003@{WEB}"]

    assert found.observed == "raw.lxc is lxc.apparmor.profile=unconfined"
    assert (found.fix["unset"], found.fix["restart"], found.fix["refuse"]) == (["raw.lxc"], True, "")


def test_long_text_is_cut():
    """The finding shows its beginning on one line."""
    found = findings_of(with_keys({"raw.lxc": "a\n" * 100}))[f"INST-003@{WEB}"]

    assert found.observed == "raw.lxc is " + ("a " * 29)[:57] + "..."


@pytest.mark.parametrize("key", ["raw.apparmor", "linux.kernel_modules"])
def test_live_key_needs_no_restart(key):
    """Incus reloads the AppArmor profile, and a kernel module is already loaded."""
    assert findings_of(with_keys({key: "x"}))[f"INST-003@{WEB}"].fix["restart"] is False


@pytest.mark.parametrize(("status", "refused"), [("Running", True), ("Stopped", False)])
@pytest.mark.parametrize(
    "case",
    [
        ("INST-003", {"raw.qemu": "-snapshot"}),
        ("INST-012", {"security.secureboot": "false", "image.requirements.secureboot": "true"}),
    ],
)
def test_running_virtual_machine_is_left_to_a_person(case, status, refused):
    """While it runs, nothing can prove with which values QEMU or its firmware was started."""
    content = with_keys(case[1], "vm")
    content["cluster"]["instances"]["vm"]["status"] = status

    assert bool(findings_of(content)[f"{case[0]}@minisrv/user-john/vm"].fix["refuse"]) is refused


@pytest.mark.parametrize(("says", "refused"), [("", "does not say"), ("true", ""), ("false", "can't boot")])
def test_secure_boot_is_turned_on_only_if_the_image_says_that_it_can(says, refused):
    """A virtual machine from an own ISO has no properties of an image, and may not boot with it."""
    keys = {"security.secureboot": "false"} | ({"image.requirements.secureboot": says} if says else {})
    content = with_keys(keys, "vm")
    content["cluster"]["instances"]["vm"]["status"] = "Stopped"

    refuse = findings_of(content)["INST-012@minisrv/user-john/vm"].fix["refuse"]

    assert refused in refuse
    assert bool(refused) is bool(refuse)


def test_image_that_lacks_secure_boot_support_is_left_to_a_person():
    """The fix is refused even if the virtual machine is stopped."""
    content = with_keys({"security.secureboot": "false", "image.requirements.secureboot": "false"}, "vm")
    content["cluster"]["instances"]["vm"]["status"] = "Stopped"

    assert "can't boot with Secure Boot" in findings_of(content)["INST-012@minisrv/user-john/vm"].fix["refuse"]


def test_exempt_keys_are_named_and_the_others_evaluated():
    """The finding shows the reason for the exemption."""
    content = with_keys({"raw.lxc": "x", "raw.idmap": "both 0 0"})
    content["site"]["exempt"]["INST-003"] = [{"match": "default/*", "reason": "it must", "keys": ["raw.lxc"]}]

    found = findings_of(content)[f"INST-003@{WEB}"]

    assert (found.verdict, found.observed) == ("fail", "raw.idmap is both 0 0")
    assert found.reason == "the site exempts raw.lxc: it must"
    assert found.fix["unset"] == ["raw.idmap"]


def limits_finding(usage, keys, status="Running"):
    """Return the INST-006 finding of an instance that has only these limits and this usage."""
    content = document.document()
    row = content["cluster"]["instances"]["web"]
    memory, processes = usage or (0, 0)
    row |= {
        "expanded_config": keys,
        "status": status,
        "state": {"memory": {"usage": 1, "usage_peak": memory}, "processes": processes} if usage else None,
    }
    return findings_of(content)[f"INST-006@{WEB}"]


GIB = 1024**3


@pytest.mark.parametrize(
    ("usage", "status", "keys", "refused"),
    [
        ((GIB, 10), "Running", {}, ""),
        ((5 * GIB, 10), "Running", {}, "5368709120 bytes of memory, more than 2GiB"),
        ((GIB, 4001), "Running", {}, "4001 processes, more than 2000"),
        ((3 * GIB, 10), "Running", {"limits.memory": "4GiB"}, ""),
        ((3 * GIB, 10), "Running", {"limits.memory": "2GiB", "limits.memory.enforce": "soft"}, "more than 2GiB"),
        ((GIB, 10), "Running", {"limits.memory": "50%", "limits.memory.enforce": "soft"}, "does not know how much"),
        (None, "Running", {}, "does not know how much"),
        (None, "Stopped", {}, "does not know what it needs"),
        (
            None,
            "Stopped",
            {"limits.memory": "2GiB", "limits.memory.enforce": "soft", "limits.cpu": "1", "limits.processes": "9"},
            "needs",
        ),
        (None, "Stopped", {"limits.memory": "2GiB", "limits.processes": "9"}, ""),
        ((2 * GIB, 2000), "Running", {}, ""),
        (None, "Running", {"limits.memory": "50%", "limits.processes": "9"}, ""),
        ((GIB, 10), "Running", {"limits.memory": "50%", "limits.cpu": "1"}, ""),
        (None, "Running", {"limits.memory": "1GiB"}, "does not know how much"),
        ((GIB, 10), "Running", {"limits.memory": "much", "limits.memory.enforce": "soft"}, "does not know how much"),
    ],
)
def test_limits_below_current_usage_are_refused(usage, status, keys, refused):
    """Lower limits would kill running processes. Unknown usage is refused too."""
    found = limits_finding(usage, keys, status)

    assert found.verdict == "fail"
    assert refused in found.fix["refuse"]
    assert bool(refused) is bool(found.fix["refuse"])


@pytest.mark.parametrize(
    ("usage", "limits"),
    [
        ((1, 1), ["limits.memory=2GiB", "limits.processes=2000"]),
        ((GIB, 1000), ["limits.memory=2GiB", "limits.processes=2000"]),
        ((GIB + 1, 1001), ["limits.memory=3GiB", "limits.processes=3000"]),
        ((4 * GIB, 4000), ["limits.memory=8GiB", "limits.processes=8000"]),
    ],
)
def test_limits_leave_twice_what_the_container_has_used(usage, limits):
    """A limit just above its use would kill its processes soon."""
    assert limits_finding(usage, {"limits.cpu": "1"}).fix["set"] == limits


def test_fix_sets_only_missing_limits():
    """It keeps existing limits, and needs no restart."""
    found = limits_finding((GIB, 10), {"limits.memory": "4GiB", "limits.processes": "5"})

    assert (found.fix["set"], found.fix["restart"]) == (["limits.cpu=2"], False)


def test_pass_shows_what_was_observed():
    """A pass shows the values, as a failure does."""
    found = findings_of(document.document())

    assert found[f"INST-003@{WEB}"].observed == "none of these keys"
    assert found[f"INST-006@{WEB}"].observed == "limits.cpu is 1, limits.memory is 1GiB, limits.processes is 500"
    assert found["INST-006@minisrv/user-john/vm"].observed == "the default limits of a virtual machine"
    assert (
        limits_finding((1, 1), {}).observed == "limits.memory is unset; limits.cpu is unset; limits.processes is unset"
    )


@pytest.mark.parametrize(("id_map", "restart"), [("[]", True), ('[{"Hostid":1000000}]', False)])
def test_privileged_container_is_restarted_if_it_runs_privileged(id_map, restart):
    """A container that became privileged after its start still has its id map."""
    content = with_keys({"security.privileged": "true"})
    content["cluster"]["instances"]["web"]["config"]["volatile.idmap.current"] = id_map

    found = findings_of(content)[f"INST-001@{WEB}"]

    assert found.observed == "security.privileged is true"
    assert (found.fix["set"], found.fix["restart"]) == (["security.privileged=false"], restart)


def test_stopped_container_needs_no_restart():
    """It has no id map because it does not run."""
    assert (
        findings_of(with_keys({"security.privileged": "1"}, "db"))["INST-001@minisrv/default/db"].fix["restart"]
        is False
    )


def test_broken_id_map_is_created_again():
    """A restart alone does not help. Incus creates a new id map when it sees the key change."""
    content = with_keys({"security.guestapi": "false"})
    content["cluster"]["instances"]["web"]["expanded_config"]["security.idmap.isolated"] = "true"
    content["cluster"]["instances"]["web"] |= {"project": "user-john"}
    found = findings_of(content)["INST-007@sigsrv/user-john/web"]

    assert found.fix["set"] == ["security.idmap.isolated=false", "security.idmap.isolated=true"]
    assert found.fix["restart"] is True


def test_device_that_hides_one_of_a_profile_is_reported_as_both():
    """If only the device of the instance were removed, the profile's device would appear."""
    content = document.document()
    device = {"type": "disk", "source": "/etc", "path": "/mnt", "readonly": "1"}
    row = content["cluster"]["instances"]["web"]
    row["devices"]["etc"] = row["expanded_devices"]["etc"] = device
    content["cluster"]["profiles"]["svc"]["devices"]["etc"] = {"type": "disk", "source": "/", "path": "/mnt"}

    found = findings_of(content)[f"INST-004@{WEB}"]

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


def test_device_from_a_profile_names_the_profile():
    """The fix masks it on the instance, or a person removes it from the profile."""
    content = document.document()
    device = {"type": "gpu"}
    content["cluster"]["instances"]["web"]["expanded_devices"]["card"] = device
    content["cluster"]["profiles"]["svc"]["devices"]["card"] = device

    found = findings_of(content)[f"INST-005@{WEB}"]

    assert found.observed == "card: gpu (from profile svc)"
    assert found.fix["devices"][0]["own"] is False


def test_critical_instance_on_an_unselected_host_is_not_missing():
    """The other host's daemon lists it."""
    content = document.document()
    content["site"]["critical"] = ["default/web"]

    assert not any("default/web" in key for key in findings_of(content, ["minisrv"]))


def test_critical_instance_may_be_on_another_standalone_host():
    """The site file does not say which standalone host must have it: not-applicable on each."""
    content = document.document()
    content["site"]["critical"] = ["default/dns"]
    content["cluster"]["server"]["environment"]["server_clustered"] = False
    for row in content["cluster"]["instances"].values():
        row["location"] = "none"

    found = findings_of(content)

    assert {found[f"INST-013@{host}/default/dns"].verdict for host in ("sigsrv", "minisrv")} == {"not-applicable"}


def test_instance_error_on_a_standalone_host_fails():
    """No other member can be the cause."""
    content = document.document()
    content["cluster"]["server"]["environment"]["server_clustered"] = False
    for row in content["cluster"]["instances"].values():
        row |= {"location": "none", "status": "Error"}

    assert findings_of(content)[f"INST-013@{WEB}"].verdict == "fail"


@pytest.mark.parametrize(
    ("status", "start", "refused"), [("Stopped", True, False), ("Frozen", True, False), ("Error", False, True)]
)
def test_critical_instance_is_started_unless_in_an_error(status, start, refused):
    """A person must find the cause of the error."""
    content = with_keys({"boot.autostart": "true", "security.protection.delete": "true"})
    content["site"]["critical"] = ["default/web"]
    content["cluster"]["instances"]["web"]["status"] = status

    fix = findings_of(content)[f"INST-013@{WEB}"].fix

    assert (fix["start"], bool(fix["refuse"])) == (start, refused)


def user_container(keys, status="Running", **config):
    """Return evidence for INST-007 with a container in a user project.

    Its id map is isolated and applied, unless ``base``, ``current`` or ``next`` give other values.
    """
    maps = {"base": "1065536", "current": "[1]", "next": "[1]"} | config
    content = with_keys({"security.guestapi": "false", "security.idmap.isolated": "true"} | keys)
    row = content["cluster"]["instances"]["web"]
    row["config"] |= {f"volatile.idmap.{key}": value for key, value in maps.items()}
    row |= {"project": "user-john", "status": status}
    return content


def hardening_finding(content):
    return findings_of(content)["INST-007@sigsrv/user-john/web"]


def without_profiles(content):
    """Return the evidence, in which no daemon gives the list of profiles."""
    for host in ("sigsrv", "minisrv"):
        failure = {"kind": "timeout", "reason": "no answer"}
        content[host] = copy.deepcopy(content[host]) | {"failures": {urls.PROFILES: failure}}
    return content


def test_wrong_key_fails_if_the_profiles_are_unknown():
    """The fix sets a key on the instance, whatever the profiles give. The reason names what could not be read."""
    found = findings_of(without_profiles(with_keys({"limits.cpu": ""}, own=False)))[f"INST-006@{WEB}"]

    assert (found.verdict, found.observed) == ("fail", "limits.cpu is unset")
    assert found.reason.startswith("unknown: no answer")
    assert (found.fix["set"], found.fix["refuse"]) == (["limits.cpu=2"], "")


def test_key_is_not_unset_if_the_profiles_are_unknown():
    """A profile may give the key another value, which would then take effect."""
    found = findings_of(without_profiles(with_keys({"raw.lxc": "x"})))[f"INST-003@{WEB}"]

    assert found.verdict == "fail"
    assert found.fix["refuse"].startswith("a profile may give raw.lxc: no answer")


def test_instance_on_an_evacuated_member_is_not_started():
    """A person restores the member first. The keys of the instance are right, so nothing else is to be done."""
    content = with_keys({"boot.autostart": "true", "security.protection.delete": "true"})
    content["site"]["critical"] = ["default/web"]
    content["cluster"]["instances"]["web"]["status"] = "Stopped"
    content["cluster"]["members"]["sigsrv"]["status"] = "Evacuated"

    found = findings_of(content)[f"INST-013@{WEB}"]

    assert (found.verdict, found.fix["refuse"]) == ("fail", "the status is Stopped; member sigsrv is evacuated")


@pytest.mark.parametrize(
    ("keys", "wanted", "restart"),
    [
        ({"security.guestapi": "true"}, ["security.guestapi=false"], False),
        ({"security.guestapi.images": "true"}, ["security.guestapi.images=false"], False),
        ({"security.idmap.isolated": "false"}, ["security.idmap.isolated=true"], True),
    ],
)
def test_only_a_changed_id_map_needs_a_restart(keys, wanted, restart):
    """Incus switches the guest API while the container runs."""
    fix = hardening_finding(user_container(keys)).fix

    assert (fix["set"], fix["restart"]) == (wanted, restart)


@pytest.mark.parametrize("now", ["[2]", "", "[]"])
def test_pending_id_map_needs_only_a_restart(now):
    """Incus has already created the new id map."""
    found = hardening_finding(user_container({}, current=now))

    assert (found.verdict, found.fix["set"], found.fix["restart"]) == ("fail", [], True)
    assert "a restart is pending" in found.observed


def test_id_map_is_ignored_if_its_key_is_exempt():
    """The id map of the running container is ignored too."""
    content = user_container({}, base="0")
    content["site"]["exempt"]["INST-007"] = [{"match": "*", "reason": "r", "keys": ["security.idmap.isolated"]}]

    assert hardening_finding(content).verdict == "pass"


def test_wrong_key_fails_even_if_the_state_is_unknown():
    """A wrong id map that a restart would not fix fails too."""
    assert hardening_finding(user_container({}, "Error")).verdict == "pass"
    assert hardening_finding(user_container({}, "Error", current="[2]")).verdict == "error"
    assert hardening_finding(user_container({"security.guestapi": "true"}, "Error", current="[2]")).verdict == "fail"
    assert hardening_finding(user_container({}, "Error", base="0")).verdict == "fail"


def test_container_is_not_restarted_for_an_id_map_that_is_unknown():
    """The guest API is a known failure. Its fix needs no restart."""
    found = hardening_finding(user_container({"security.guestapi": "true"}, "Error", current="[2]"))

    assert (found.fix["set"], found.fix["restart"]) == (["security.guestapi=false"], False)
    assert found.reason.startswith("unknown: the status is Error")


def test_host_images_fail_in_a_project_that_no_entry_matches():
    """A setting that is wrong in all kinds of projects is wrong there too."""
    content = user_container({"security.guestapi.images": "true"})
    content["site"]["projects"] = [{"match": "default", "kind": "system"}]

    assert hardening_finding(content).verdict == "fail"


@pytest.mark.parametrize("policy_id", ["INST-009", "INST-010"])
def test_unreadable_instance_may_have_a_proxy_device_or_nic(policy_id):
    """The check must not report that no instance has a proxy device, or a NIC that needs filters."""
    content = document.document()
    content["cluster"]["instances"]["db"] |= {"status": "Error", "config": None}
    content["minisrv"]["failures"]["api"] = {"kind": "down", "reason": "nothing answers"}

    found = {key: each.verdict for key, each in findings_of(content).items() if key.startswith(policy_id)}

    assert found == {f"{policy_id}@minisrv/default/db": "error"}


def test_nics_are_shown_with_their_network():
    """The finding also names the profile that gives a NIC, and its missing filters."""
    content = document.document()
    content["site"]["antispoof"] = {"sigsrvbr0": ["mac", "ipv6"]}
    row = content["cluster"]["instances"]["web"]["expanded_devices"]
    row["eth1"] = {"type": "nic", "nictype": "bridged", "parent": "sigsrvbr0", "security.mac_filtering": "true"}
    row["eth2"] = {"type": "nic", "network": "sigsrvbr0", "security.ipv6_filtering": "true"}
    content["cluster"]["profiles"]["svc"]["devices"]["eth1"] = row["eth1"]

    found = findings_of(content)

    assert found[f"INST-011@{WEB}"].observed == "network sigsrvbr0; no network, bridged, parent sigsrvbr0"
    assert found["INST-011@minisrv/user-john/vm"].observed == "network userbr0"
    assert found["INST-011@minisrv/default/db"].observed == "no nic device"
    assert found[f"INST-010@{WEB}"].observed == "eth0: no mac, no ipv6; eth1: no ipv6 (from profile svc); eth2: filters"


def test_a_profile_has_the_one_finding_for_a_nic_of_many_instances():
    """Each instance with the profile is not-applicable because of it, and so is a NIC that a profile gives twice."""
    content = document.document()
    nic = {"type": "nic", "nictype": "macvlan", "parent": "trunk"}
    content["cluster"]["profiles"]["svc"]["devices"]["eth1"] = nic
    row = content["cluster"]["instances"]["web"]
    for name in ("web", "web2", "web3"):
        content["cluster"]["instances"][name] = {**row, "expanded_devices": {**row["expanded_devices"], "eth1": nic}}

    found = findings_of(content)

    failed = [key for key, each in found.items() if each.verdict == "fail" and key.startswith(("INST-011", "PROJ-009"))]
    assert failed == ["PROJ-009@cluster/default/svc"]
    assert found[failed[0]].observed == "eth1: no network, macvlan, parent trunk"
    assert found["INST-011@sigsrv/default/web2"].because == failed[0]


def test_an_instance_has_a_finding_for_its_own_nic_beside_that_of_its_profile():
    """What the profile has no part in is not excused by its finding."""
    content = document.document()
    nic = {"type": "nic", "nictype": "macvlan", "parent": "trunk"}
    content["cluster"]["profiles"]["svc"]["devices"]["eth1"] = nic
    row = content["cluster"]["instances"]["web"]
    row["devices"]["eth2"] = nic
    row["expanded_devices"] |= {"eth1": nic, "eth2": nic}

    found = findings_of(content)[f"INST-011@{WEB}"]

    assert found.verdict == "fail"


def test_unreadable_instance_may_be_a_virtual_machine():
    """The check must not report that the host has no virtual machines."""
    content = document.document()
    content["cluster"]["instances"]["vm"]["type"] = "container"
    content["cluster"]["instances"]["db"] |= {"status": "Error", "config": None}
    content["minisrv"]["failures"]["api"] = {"kind": "down", "reason": "nothing answers"}

    found = [key for key in findings_of(content) if key.startswith("INST-012")]

    assert found == ["INST-012@minisrv/default/db"]


def test_fix_sets_both_keys_of_a_virtual_machine():
    """Secure Boot is enabled, legacy BIOS (CSM) disabled."""
    content = with_keys({"security.secureboot": "0", "security.csm": "1"}, "vm")

    assert findings_of(content)["INST-012@minisrv/user-john/vm"].fix["set"] == [
        "security.secureboot=true",
        "security.csm=false",
    ]
