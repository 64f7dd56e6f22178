"""Checks of the cluster, of access and of images: what a remediation is told, what a finding says, hosts that are not looked at."""

from __future__ import annotations

import pytest

from sigsrv.authoring import document
from sigsrv.judge.checks import load_checks
from sigsrv.judge.evaluate import evaluate
from sigsrv.model import data, policy

POLICIES = policy.load()
CHECKS = load_checks(data.folder("checks"))
ACCESS = [each for each in POLICIES.values() if each.id.startswith(("CLUS", "AUTH", "IMG"))]
API = ("core.https_address", "cluster.https_address")


def judged(content, hosts=("sigsrv", "minisrv")):
    desired, facts = document.facts_of(content)
    return {found.id: found for found in evaluate(ACCESS, CHECKS, desired, {name: facts[name] for name in hosts})}


def configured(host=None, **keys):
    """The example's evidence with keys of the server's configuration (``__`` for a dot), of one host or of all."""
    content = document.document()
    content[host or "cluster"]["server"].setdefault("config", {}).update(
        {key.replace("__", "."): value for key, value in keys.items()}
    )
    return content


def setting(key, value, member="", wait_s=""):
    return {"key": key, "value": value, "member": member, "wait_s": wait_s}


def test_the_api_is_told_to_listen_where_the_site_says():
    """The first address of the site, on this member, until a lost member would be called so; the cluster's own is a person's."""
    found = judged(configured("minisrv", core__https_address=":8443"))["AUTH-001@minisrv/minisrv"]

    assert found.observed == "core.https_address is :8443 (any address)"
    assert found.expected == "no address other than 10.0.0.1:8443"
    wanted = setting("core.https_address", "10.0.0.1:8443", "minisrv", "30")
    assert found.fix == {"settings": [wanted], "refused": ""}


def test_of_two_addresses_the_one_that_is_not_the_cluster_s_is_set():
    """Over that one clients came; the other has a listener of its own."""
    content = configured("minisrv", core__https_address=":8443", cluster__https_address="10.0.0.1:8443")
    content["site"]["auth"]["listen"]["minisrv"] = ["10.0.0.1:8443", "10.9.0.1:8443"]

    found = judged(content)["AUTH-001@minisrv/minisrv"]

    assert [each["value"] for each in found.fix["settings"]] == ["10.9.0.1:8443"]


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        (lambda c: c["minisrv"]["server"].update(config={"cluster.https_address": ":8443"}), "can't be changed while"),
        (lambda c: c["site"]["auth"]["listen"].pop("minisrv"), "has no address for minisrv"),
        (
            lambda c: c["minisrv"]["probes"].update(listen="LISTEN 0 4096 *:8443 *:*"),
            "a socket listens on *:8443, but no key contains this address",
        ),
    ],
)
def test_an_address_that_no_key_puts_right_is_refused(change, reason):
    """What the script can't know is a person's, and the script says so before it changes anything."""
    content = document.document()
    change(content)

    assert reason in judged(content)["AUTH-001@minisrv/minisrv"].fix["refused"]


def test_a_host_without_any_address_says_so():
    """Nothing set is nothing that listens."""
    found = judged(configured("minisrv", core__https_address="", cluster__https_address=""))

    assert found["AUTH-001@minisrv/minisrv"].observed == "no address"
    assert found["AUTH-001@sigsrv/sigsrv"].observed == "10.0.0.1:8443"


def test_each_door_is_closed_by_its_own_key():
    """A member's own keys are set on the member, the cluster's anywhere; an empty value unsets."""
    content = configured("minisrv", core__debug_address="127.0.0.1:8444", core__trust_ca_certificates="1")
    content["cluster"]["server"]["config"].pop("core.remote_token_expiry")

    found = judged(content)["AUTH-005@minisrv/minisrv"]

    assert found.fix["settings"] == [
        setting("core.trust_ca_certificates", ""),
        setting("core.remote_token_expiry", "15M"),
        setting("core.debug_address", "", "minisrv"),
    ]
    assert "tokens for clients never expire" in found.observed
    assert found.fix["refused"] == ""


def test_a_host_in_no_cluster_has_no_member_to_set_keys_on():
    """There is one daemon then, and no --target."""
    content = configured("minisrv", core__debug_address="127.0.0.1:8444")
    content["minisrv"]["server"]["environment"] = {"server_clustered": False}

    assert judged(content)["AUTH-005@minisrv/minisrv"].fix["settings"] == [setting("core.debug_address", "")]


def test_an_open_token_is_told_with_what_revokes_it():
    """A token that is gone can't come back: no script takes it."""
    content = document.document()
    row = {"id": "t1", "class": "token", "status": "Running", "created_at": "2026-11-15T22:26:40Z"}
    row |= {"location": "minisrv", "resources": {}, "metadata": {"request": {"name": "laptop"}}}
    content["cluster"]["operations"] = {"running": [row]}

    found = judged(content)

    assert found["AUTH-005@minisrv/minisrv"].observed == "a token for client laptop has been open for 3 days"
    assert found["AUTH-005@minisrv/minisrv"].fix["refused"] == "incus operation delete t1"
    assert found["AUTH-005@sigsrv/sigsrv"].observed == "no extra access; client tokens expire after 15M"


def test_a_token_of_a_host_in_no_cluster_is_its_own():
    """Its location is no member's name then."""
    content = document.document()
    row = {"id": "t1", "class": "token", "status": "Running", "created_at": "2026-11-01T00:00:00Z"}
    content["cluster"]["operations"] = {"running": [row | {"location": "none", "resources": None, "metadata": None}]}
    content["cluster"]["server"]["environment"]["server_clustered"] = False

    assert judged(content)["AUTH-005@sigsrv/sigsrv"].verdict == "fail"


def test_a_key_that_the_site_exempts_is_told_with_the_reason():
    """The others are judged."""
    content = configured("minisrv", core__metrics_address=":9100", core__debug_address="127.0.0.1:8444")
    reason = "metrics stay in their own network"
    content["site"]["exempt"]["AUTH-005"] = [{"match": "minisrv", "reason": reason, "keys": ["core.metrics_address"]}]

    found = judged(content)["AUTH-005@minisrv/minisrv"]

    assert (found.verdict, found.observed) == ("fail", "core.debug_address is 127.0.0.1:8444")
    assert found.reason == f"the site exempts core.metrics_address: {reason}"


def test_only_listed_members_of_a_group_are_taken_out():
    """One whose own group it is needs another one first; then nothing is changed."""
    content = document.document()
    content["minisrv"]["probes"]["groups"] = "root:x:0:\nincus-admin:x:990:ops,alice\n"
    content["sigsrv"]["probes"]["groups"] = "root:x:0:\nincus-admin:x:990:bob\n"
    content["sigsrv"]["probes"]["passwd"] = "root:x:0:0:::\ncarol:x:5:990:::\n"

    found = judged(content)

    assert found["AUTH-004@minisrv/minisrv"].fix == {"group": "incus-admin", "users": ["alice"], "refused": ""}
    assert found["AUTH-004@sigsrv/sigsrv"].fix["users"] == ["bob"]
    assert found["AUTH-004@sigsrv/sigsrv"].fix["refused"] == "carol has incus-admin as its primary group"
    assert (
        found["AUTH-004@sigsrv/sigsrv"].observed == "bob is in incus-admin; carol has incus-admin as its primary group"
    )


def test_an_acl_on_the_socket_is_a_person_s():
    """Whom it lets in the probe does not tell, and taking it away is no matter of groups."""
    content = document.document()
    content["minisrv"]["probes"]["socket-acl"] = content["minisrv"]["probes"]["socket-acl"].replace("---- ", "----+ ")

    found = judged(content)["AUTH-004@minisrv/minisrv"]

    wanted = "an ACL lets other accounts write to the socket (see getfacl /var/lib/incus/unix.socket)"
    assert (found.observed, found.fix) == (wanted, {"group": "incus-admin", "users": [], "refused": wanted})


def test_a_socket_of_a_group_that_no_answer_names_is_unknown():
    """Where something is wrong already, that is told all the same."""
    content = document.document()
    content["minisrv"]["probes"] |= {"groups": "root:x:0:\n", "admin-group": {"rc": 2}}
    content["sigsrv"]["probes"] |= {**content["minisrv"]["probes"], "socket-mode": "666 root incus-admin"}

    found = judged(content)

    assert found["AUTH-004@minisrv/minisrv"].verdict == "error"
    assert "the host reports no group incus-admin" in found["AUTH-004@minisrv/minisrv"].reason
    assert found["AUTH-004@sigsrv/sigsrv"].observed == "everybody may write to the socket (mode 0666)"


@pytest.mark.parametrize(
    ("offline", "healing", "wait_s", "refused"),
    [
        ("120", None, "63", ""),
        ("30", None, "23", ""),
        ("15", None, "", ""),
        ("240", None, "123", ""),
        ("241", None, "123", "lower cluster.offline_threshold at a time when members may be Offline for 241 s"),
        ("120", "600", "63", "lower cluster.offline_threshold only while"),
    ],
)
def test_a_threshold_is_lowered_with_patience(offline, healing, wait_s, refused):
    """Members are Offline between the next heartbeats: the script waits, or a person; and healing would evacuate them."""
    keys = {"cluster__offline_threshold": offline} | ({"cluster__healing_threshold": healing} if healing else {})

    fix = judged(configured(**keys))["CLUS-003@cluster/cluster"].fix

    assert fix["settings"][0] == setting("cluster.offline_threshold", "20", wait_s=wait_s)
    assert fix["refused"].startswith(refused)
    assert bool(fix["refused"]) is bool(refused)


def test_votes_are_a_person_s():
    """No key gives a member a vote."""
    content = document.document()
    content["site"]["cluster"] = {"voters_min": 2}

    found = judged(content)["CLUS-003@cluster/cluster"]

    assert found.fix == {"settings": [], "refused": "1 voter of at least 2"}
    assert "with two members, no setting gives a quorum while the voter is away" in found.observed


def test_an_evacuated_member_is_restored_by_a_person():
    """The script lets a member take new instances, and moves none back."""
    content = document.document()
    content["cluster"]["members"]["minisrv"] |= {"status": "Evacuated", "config": {"scheduler.instance": "manual"}}

    found = judged(content)["CLUS-004@cluster/minisrv"]

    assert found.observed == "Evacuated, scheduler.instance is manual"
    assert found.fix == {"member": "minisrv", "status": "Evacuated"}


def test_warnings_of_one_kind_and_place_are_one_finding():
    """With how often they were seen, and the last one's text."""
    content = document.document()
    one = {"type": "Network unavailable", "status": "new", "location": "minisrv", "count": 3, "last_message": "first"}
    two = {**one, "status": "acknowledged", "last_seen_at": "2026-11-18T01:00:00Z", "last_message": "second"}
    content["cluster"]["warnings"] = {"a": one, "b": two}

    found = judged(content)

    assert found["CLUS-005@cluster/Network%20unavailable/minisrv"].observed == "acknowledged, new, seen 6 times: second"
    assert "CLUS-005@cluster/cluster" not in found


def test_ignored_warnings_are_told():
    """Nothing is left out in silence."""
    content = document.document()
    content["site"]["warnings_ignored"] = ["AppArmor support has been disabled"]
    content["cluster"]["warnings"] = {"a": {"type": "AppArmor support has been disabled", "status": "new"}}

    found = judged(content)["CLUS-005@cluster/cluster"]

    assert found.observed == "only warnings of types that the site file ignores: AppArmor support has been disabled"


def test_a_host_that_was_not_selected_is_known_by_the_others():
    """Its membership is judged; what it says of itself was not asked, and that is told."""
    found = judged(document.document(), hosts=("sigsrv",))

    assert found["CLUS-006@cluster/minisrv"].observed == "a member; minisrv was not asked for its own name"
    assert found["CLUS-001@cluster/minisrv"].verdict == "pass"
    assert "CLUS-002@minisrv/minisrv" not in found


def test_two_clusters_are_one_fault_on_each_member():
    """Each daemon knows a member that the other one does not: CLUS-006 says so, and CLUS-001 leaves it to that."""
    content = document.document()
    desired, facts = document.facts_of(content)
    for name, other in (("sigsrv", "minisrv"), ("minisrv", "sigsrv")):
        rows = facts[name].evidence.api["/1.0/cluster/members?recursion=1"].metadata
        rows[:] = [row for row in rows if row["server_name"] != other]

    found = {each.id: each for each in evaluate(ACCESS, CHECKS, desired, facts)}

    for member, blind in (("sigsrv", "minisrv"), ("minisrv", "sigsrv")):
        assert found[f"CLUS-006@cluster/{member}"].observed == f"the list of members on {blind} has no {member}"
        assert found[f"CLUS-001@cluster/{member}"].because == f"CLUS-006@cluster/{member}"


def test_an_older_package_is_told_with_the_host_that_has_the_newer():
    """Both versions, so that nobody must look them up."""
    content = document.document()
    content["minisrv"]["probes"]["packages"] = "incus-base\t6.0.4-2+deb13u12\tii "

    found = judged(content)

    assert found["CLUS-002@sigsrv/sigsrv"].observed == (
        "package incus-base 6.0.4-2+deb13u7 is older than 6.0.4-2+deb13u12 of minisrv"
    )
    assert found["CLUS-002@minisrv/minisrv"].observed == "6.0.4 (incus-base 6.0.4-2+deb13u12)"


def test_a_log_target_is_told_without_its_password():
    """Who reads a report is not who may write to the log."""
    found = judged(configured(loki__api__url="https://me:hunter2@logs.example.org:3100/x?token=y"))

    assert found["AUTH-006@cluster/cluster"].observed == "loki: loki at logs.example.org"


@pytest.mark.parametrize(
    ("keys", "observed"),
    [
        ({"loki__types": "logging"}, "loki: receives only logging"),
        ({"loki__api__url": "http://[::1]:3100"}, "loki: ::1, on the host itself"),
        (
            {
                "loki__api__url": "",
                "logging__a__target__type": "syslog",
                "logging__a__target__address": "/dev/log",
            },
            "a: /dev/log, on the host itself",
        ),
        ({"loki__api__url": "", "logging__a__target__type": "webhook"}, "a: no address, on the host itself"),
    ],
)
def test_a_target_that_does_not_count_says_why(keys, observed):
    """Each of them looks like a target in the configuration."""
    assert judged(configured(**keys))["AUTH-006@cluster/cluster"].observed == observed


@pytest.mark.parametrize("server", ["https://me@images.linuxcontainers.org", "https://", "https://[::1", "images"])
def test_what_is_no_server_is_none_of_the_site(server):
    """An address that nobody can take apart comes from nowhere that was chosen."""
    content = document.document()
    content["cluster"]["images"]["1f00a1f00b1f"]["update_source"]["server"] = server

    assert judged(content)["IMG-002@cluster/default/1f00a1f00b1f"].verdict == "fail"


def test_a_public_image_is_made_private_by_its_address():
    """Whatever a project is called stays one part of the address."""
    content = document.document()
    content["cluster"]["images"]["1f00a1f00b1f"] |= {"public": True, "project": "a&b c"}

    found = judged(content)["IMG-003@cluster/a%26b%20c/1f00a1f00b1f"]

    assert found.observed == "Debian trixie amd64: public, and the daemon listens on sigsrv, minisrv"
    assert found.fix == {"url": "/1.0/images/1f00a1f00b1f?project=a%26b%20c"}
