"""Tests the checks of CLUS, AUTH and IMG: the values of fixes, the texts of findings, and unselected hosts."""

from __future__ import annotations

import pytest

from sigsrv.authoring import document
from sigsrv.judge.checks import load_checks
from sigsrv.judge.evaluate import evaluate
from sigsrv.model import data, policy
from sigsrv.model.finding import Verdict

POLICIES = policy.load()
CHECKS = load_checks(data.folder("checks"))
ACCESS = [each for each in POLICIES.values() if each.id.startswith(("CLUS", "AUTH", "IMG"))]
API = ("core.https_address", "cluster.https_address")


def findings_of(content, hosts=("sigsrv", "minisrv")):
    desired, facts = document.facts_of(content)
    return {found.id: found for found in evaluate(ACCESS, CHECKS, desired, {name: facts[name] for name in hosts})}


def configured(host=None, **keys):
    """Return the example evidence with keys in the server configuration (``__`` for a dot), of one host or all."""
    content = document.document()
    content[host or "cluster"]["server"].setdefault("config", {}).update(
        {key.replace("__", "."): value for key, value in keys.items()}
    )
    return content


def setting(key, value, member="", wait_s="", sockets=()):
    return {"key": key, "value": value, "member": member, "wait_s": wait_s, "sockets": list(sockets)}


DEBUG_SOCKETS = ("tcp 127.0.0.1:8444", "udp 127.0.0.1:8444")


def test_fix_sets_the_api_address_of_the_site():
    """The fix sets the first address in the site file, on this member. For 30 s, no member may be Offline.

    A person must change cluster.https_address.
    """
    found = findings_of(configured("minisrv", core__https_address=":8443"))["AUTH-001@minisrv/minisrv"]

    assert found.observed == "core.https_address is :8443 (any address); cluster.https_address is 10.0.0.1:8443"
    assert found.expected == "no address other than 10.0.0.1:8443"
    (shown,) = found.fix["settings"]
    assert shown == setting("core.https_address", "10.0.0.1:8443", "minisrv", "30", shown["sockets"])
    assert {"tcp *:8443", "tcp [::]:8443", "tcp 10.0.0.1:8443"} <= set(shown["sockets"])
    assert found.fix["refused"] == ""
    assert found.fix["disrupts"].startswith("Remote clients of the API that use another address are cut off")


def test_fix_of_a_wrong_address_does_not_need_its_socket():
    """The list of sockets lacks that of the wrong address. The fix replaces the address, so it is not refused."""
    found = findings_of(configured("minisrv", core__https_address="192.0.2.1:8443"))["AUTH-001@minisrv/minisrv"]

    assert found.verdict is Verdict.FAIL
    assert (len(found.fix["settings"]), found.fix["refused"], found.reason) == (1, "", "")


@pytest.mark.parametrize(
    ("address", "socket"),
    [
        ("10.0.0.9:8443", "10.0.0.9:8443"),
        ("[fe80::9%eth0]:8443", "[fe80::9]%eth0:8443"),
        ("minisrv.example.org:8443", "10.0.0.9:8443"),
        (":8443", "*:8443"),
    ],
)
@pytest.mark.parametrize(("port", "verdict"), [("8443", Verdict.PASS), ("9443", Verdict.ERROR)])
def test_an_address_needs_a_socket_on_its_port(address, socket, port, verdict):
    """Without one, it is unknown where the API listens."""
    content = configured("minisrv", core__https_address=address, cluster__https_address="")
    content["site"]["auth"]["listen"]["minisrv"] = [address]
    content["minisrv"]["probes"]["listen"] = f"LISTEN 0 4096 {socket.replace('8443', port)} *:*"

    found = findings_of(content)["AUTH-001@minisrv/minisrv"]

    assert found.verdict is verdict
    assert found.reason.startswith("no socket listens on ") is (verdict is Verdict.ERROR)


def test_fix_sets_the_address_that_is_not_cluster_https_address():
    """The cluster already listens on cluster.https_address. Clients use the other address."""
    content = configured("minisrv", core__https_address=":8443", cluster__https_address="10.0.0.1:8443")
    content["site"]["auth"]["listen"]["minisrv"] = ["10.0.0.1:8443", "10.9.0.1:8443"]

    found = findings_of(content)["AUTH-001@minisrv/minisrv"]

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
def test_address_that_no_key_can_fix_is_refused(change, reason):
    """A person must fix it, and the script reports the reason before it changes anything."""
    content = document.document()
    change(content)

    assert reason in findings_of(content)["AUTH-001@minisrv/minisrv"].fix["refused"]


def test_host_without_api_address_is_reported():
    """If no address is set, the API does not listen."""
    found = findings_of(configured("minisrv", core__https_address="", cluster__https_address=""))

    assert found["AUTH-001@minisrv/minisrv"].observed == "no address"
    listens = "core.https_address is 10.0.0.1:8443; cluster.https_address is 10.0.0.1:8443"
    assert found["AUTH-001@sigsrv/sigsrv"].observed == listens


def test_each_kind_of_access_is_closed_by_its_own_key():
    """The keys of a member are set on that member, keys of the cluster on any member. An empty value unsets a key."""
    content = configured("minisrv", core__debug_address="127.0.0.1:8444", core__trust_ca_certificates="1")
    content["cluster"]["server"]["config"].pop("core.remote_token_expiry")

    found = findings_of(content)["AUTH-005@minisrv/minisrv"]

    assert found.fix["settings"] == [
        setting("core.trust_ca_certificates", ""),
        setting("core.remote_token_expiry", "15M"),
        setting("core.debug_address", "", "minisrv", sockets=DEBUG_SOCKETS),
    ]
    assert "tokens for clients never expire" in found.observed
    assert found.fix["refused"] == ""


def test_standalone_host_sets_keys_without_a_member():
    """A standalone host has one daemon, and --target does not exist."""
    content = configured("minisrv", core__debug_address="127.0.0.1:8444")
    content["minisrv"]["server"]["environment"] = {"server_clustered": False}

    assert findings_of(content)["AUTH-005@minisrv/minisrv"].fix["settings"] == [
        setting("core.debug_address", "", sockets=DEBUG_SOCKETS)
    ]


def test_open_token_is_reported_with_the_command_that_revokes_it():
    """A revoked token can't be restored, so no script revokes it."""
    content = document.document()
    row = {"id": "t1", "class": "token", "status": "Running", "created_at": "2026-11-15T22:26:40Z"}
    row |= {"location": "minisrv", "resources": {}, "metadata": {"request": {"name": "laptop"}}}
    content["cluster"]["operations"] = {"running": [row]}

    found = findings_of(content)

    assert found["AUTH-005@minisrv/minisrv"].observed == "a token for client laptop has been open for 3 days"
    assert found["AUTH-005@minisrv/minisrv"].fix["refused"] == "incus operation delete t1"
    assert found["AUTH-005@sigsrv/sigsrv"].observed == "no extra access; client tokens expire after 15M"


def test_token_of_a_standalone_host_belongs_to_that_host():
    """Its location is "none", which is not the name of a member."""
    content = document.document()
    row = {"id": "t1", "class": "token", "status": "Running", "created_at": "2026-11-01T00:00:00Z"}
    content["cluster"]["operations"] = {"running": [row | {"location": "none", "resources": None, "metadata": None}]}
    content["cluster"]["server"]["environment"]["server_clustered"] = False

    assert findings_of(content)["AUTH-005@sigsrv/sigsrv"].verdict == "fail"


def test_exempt_key_is_reported_with_the_reason():
    """The check still evaluates the other keys."""
    content = configured("minisrv", core__metrics_address=":9100", core__debug_address="127.0.0.1:8444")
    reason = "metrics stay in their own network"
    content["site"]["exempt"]["AUTH-005"] = [{"match": "minisrv", "reason": reason, "keys": ["core.metrics_address"]}]

    found = findings_of(content)["AUTH-005@minisrv/minisrv"]

    assert (found.verdict, found.observed) == ("fail", "core.debug_address is 127.0.0.1:8444")
    assert found.reason == f"the site exempts core.metrics_address: {reason}"


def test_fix_removes_only_users_that_the_group_lists():
    """A user with this primary group needs a new one first. The fix is refused until a person has changed it."""
    content = document.document()
    content["minisrv"]["probes"]["groups"] = "root:x:0:\nincus-admin:x:990:ops,alice\n"
    content["sigsrv"]["probes"]["groups"] = "root:x:0:\nincus-admin:x:990:bob\n"
    content["sigsrv"]["probes"]["passwd"] = "root:x:0:0:::\ncarol:x:5:990:::\n"

    found = findings_of(content)

    assert found["AUTH-004@minisrv/minisrv"].fix == {"group": "incus-admin", "users": ["alice"], "refused": ""}
    assert found["AUTH-004@sigsrv/sigsrv"].fix["users"] == ["bob"]
    assert found["AUTH-004@sigsrv/sigsrv"].fix["refused"] == "incus-admin is the primary group of carol"
    assert found["AUTH-004@sigsrv/sigsrv"].observed == (
        "in incus-admin: bob; incus-admin is the primary group of carol; the socket: 0660 root incus-admin; no ACL on the socket"
    )


def test_acl_on_the_socket_is_left_to_a_person():
    """The probe does not show which accounts the ACL lets in, and the fix changes only groups."""
    content = document.document()
    content["minisrv"]["probes"]["socket-acl"] = content["minisrv"]["probes"]["socket-acl"].replace("---- ", "----+ ")

    found = findings_of(content)["AUTH-004@minisrv/minisrv"]

    wanted = "an ACL lets other accounts write to the socket (see getfacl /var/lib/incus/unix.socket)"
    assert found.observed == f"{wanted}; accounts in incus-admin: ops; the socket: 0660 root incus-admin"
    assert found.fix == {"group": "incus-admin", "users": [], "refused": wanted}


def test_socket_of_an_unknown_group_is_an_error():
    """If another fault is known, the finding still fails and reports that fault."""
    content = document.document()
    content["minisrv"]["probes"] |= {"groups": "root:x:0:\n", "admin-group": {"rc": 2}}
    content["sigsrv"]["probes"] |= {**content["minisrv"]["probes"], "socket-mode": "666 root incus-admin"}

    found = findings_of(content)

    assert found["AUTH-004@minisrv/minisrv"].verdict == "error"
    assert "the host reports no group incus-admin" in found["AUTH-004@minisrv/minisrv"].reason
    assert found["AUTH-004@sigsrv/sigsrv"].observed == (
        "everybody may write to the socket (mode 0666); accounts in incus-admin: none; the socket: 0666 root incus-admin; "
        "no ACL on the socket"
    )
    assert "the host reports no group incus-admin" in found["AUTH-004@sigsrv/sigsrv"].reason


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
def test_lowering_the_offline_threshold_waits_or_is_refused(offline, healing, wait_s, refused):
    """Members may be Offline until their next heartbeat: the script waits, or refuses. Healing would evacuate them."""
    keys = {"cluster__offline_threshold": offline} | ({"cluster__healing_threshold": healing} if healing else {})

    fix = findings_of(configured(**keys))["CLUS-003@cluster/cluster"].fix

    assert fix["settings"][0] == setting("cluster.offline_threshold", "20", wait_s=wait_s)
    assert fix["refused"].startswith(refused)
    assert bool(fix["refused"]) is bool(refused)


def test_votes_are_left_to_a_person():
    """No key gives a member a vote."""
    content = document.document()
    content["site"]["cluster"] = {"voters_min": 2}

    found = findings_of(content)["CLUS-003@cluster/cluster"]

    assert (found.fix["settings"], found.fix["refused"]) == ([], "1 voter of at least 2")
    assert "with two members, no setting gives a quorum while the voter is away" in found.reason


def test_evacuated_member_is_restored_by_a_person():
    """The fix lets a member take new instances. It moves no instance back."""
    content = document.document()
    content["cluster"]["members"]["minisrv"] |= {"status": "Evacuated", "config": {"scheduler.instance": "manual"}}

    found = findings_of(content)["CLUS-004@cluster/minisrv"]

    assert found.observed == "Evacuated; scheduler.instance is manual"
    assert found.fix == {"member": "minisrv", "status": "Evacuated"}


def test_warnings_of_the_same_type_and_member_are_one_finding():
    """The finding shows their total count and the latest message."""
    content = document.document()
    one = {"type": "Network unavailable", "status": "new", "location": "minisrv", "count": 3, "last_message": "first"}
    two = {**one, "status": "acknowledged", "last_seen_at": "2026-11-18T01:00:00Z", "last_message": "second"}
    content["cluster"]["warnings"] = {"a": one, "b": two}

    found = findings_of(content)

    assert found["CLUS-005@cluster/Network%20unavailable/minisrv"].observed == "acknowledged, new, seen 6 times: second"
    assert "CLUS-005@cluster/cluster" not in found


def test_ignored_warnings_are_reported():
    """The finding names the ignored types."""
    content = document.document()
    content["site"]["warnings_ignored"] = ["AppArmor support has been disabled"]
    content["cluster"]["warnings"] = {"a": {"type": "AppArmor support has been disabled", "status": "new"}}

    found = findings_of(content)["CLUS-005@cluster/cluster"]

    assert found.observed == "only warnings of types that the site file ignores: AppArmor support has been disabled"


def test_unselected_host_is_checked_with_evidence_of_the_others():
    """The check evaluates its membership, and reports that it did not ask the host for its own name."""
    found = findings_of(document.document(), hosts=("sigsrv",))

    assert found["CLUS-006@cluster/minisrv"].observed == "a member; minisrv was not asked for its own name"
    assert found["CLUS-001@cluster/minisrv"].verdict == "pass"
    assert "CLUS-002@minisrv/minisrv" not in found


def test_two_separate_clusters_fail_on_each_member():
    """Each daemon lacks the other member. CLUS-006 fails, and CLUS-001 points to it."""
    content = document.document()
    desired, facts = document.facts_of(content)
    for name, other in (("sigsrv", "minisrv"), ("minisrv", "sigsrv")):
        rows = facts[name].evidence.api["/1.0/cluster/members?recursion=1"].metadata
        rows[:] = [row for row in rows if row["server_name"] != other]

    found = {each.id: each for each in evaluate(ACCESS, CHECKS, desired, facts)}

    for member, other in (("sigsrv", "minisrv"), ("minisrv", "sigsrv")):
        shown = found[f"CLUS-006@cluster/{member}"].observed
        assert shown == f"the list of members on {other} has no {member}; {member} reports that it is {member}"
        assert found[f"CLUS-001@cluster/{member}"].because == f"CLUS-006@cluster/{member}"


def test_older_package_is_reported_with_the_host_that_has_a_newer_one():
    """The finding shows both versions."""
    content = document.document()
    content["minisrv"]["probes"]["packages"] = "incus-base\t6.0.4-2+deb13u12\tii "

    found = findings_of(content)

    assert found["CLUS-002@sigsrv/sigsrv"].observed == (
        "package incus-base 6.0.4-2+deb13u7 is older than 6.0.4-2+deb13u12 of minisrv; 6.0.4; incus-base 6.0.4-2+deb13u7"
    )
    assert found["CLUS-002@minisrv/minisrv"].observed == "6.0.4; incus-base 6.0.4-2+deb13u12"


def test_log_target_is_shown_without_its_password():
    """A reader of the report must not be able to write to the log."""
    found = findings_of(configured(loki__api__url="https://me:hunter2@logs.example.org:3100/x?token=y"))

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
def test_log_target_that_does_not_count_is_reported_with_the_reason(keys, observed):
    """Each of them looks like a valid target in the configuration."""
    assert findings_of(configured(**keys))["AUTH-006@cluster/cluster"].observed == observed


@pytest.mark.parametrize("server", ["https://me@images.linuxcontainers.org", "https://", "https://[::1", "images"])
def test_invalid_image_server_is_not_one_of_the_site(server):
    """An address that can't be parsed never matches a server in the site file."""
    content = document.document()
    content["cluster"]["images"]["1f00a1f00b1f"]["update_source"]["server"] = server

    assert findings_of(content)["IMG-002@cluster/default/1f00a1f00b1f"].verdict == "fail"


def test_fix_for_a_public_image_has_the_quoted_url():
    """Any project name stays one parameter of the URL."""
    content = document.document()
    content["cluster"]["images"]["1f00a1f00b1f"] |= {"public": True, "project": "a&b"}

    found = findings_of(content)["IMG-003@cluster/a%26b/1f00a1f00b1f"]

    assert found.observed == "Debian trixie amd64: public, and the daemon listens on minisrv, sigsrv"
    assert found.fix == {"url": "/1.0/images/1f00a1f00b1f?project=a%26b"}
