"""Tests the site file and the policy files: an error shows the file, the line, the mistake and the allowed values."""

from __future__ import annotations

import shutil

import pytest

from sigsrv.model import data, policy, site, site_file
from sigsrv.model.errors import UsageError

POLICIES = policy.load()
GOOD = "version: 1\nname: lab\nhosts:\n  - {name: a}\n  - {name: b, member: bb, ssh_config: cfg}\n"


def load(tmp_path, text):
    path = tmp_path / "site.yaml"
    path.write_text(text)
    return site_file.load(path, POLICIES)


def test_minimal_site_file_is_read(tmp_path):
    """Missing values get their default. The ssh configuration is relative to the site file."""
    found = load(tmp_path, GOOD)

    assert [(h.name, h.member, h.timeout_s) for h in found.hosts] == [("a", "a", 15.0), ("b", "bb", 15.0)]
    assert found.hosts[1].ssh_config == str(tmp_path / "cfg")


def test_missing_values_get_their_default(tmp_path):
    """There are no extra networks and no ACLs, and the thresholds have their default."""
    found = load(tmp_path, GOOD)

    assert (found.networks_extra, found.acls) == ((), ())
    assert found.thresholds == site.Thresholds(15, 5 * 2**30, 10, 80, 50, 35)


def test_networks_acls_and_thresholds_are_read(tmp_path):
    """By default, an ACL is in project default and needs one rule. A size has a unit or is in bytes."""
    more = "networks_extra: [br1]\nacls: [{name: a}, {name: a, project: p, min_rules: 3}]\nthresholds: {pool_free_min: 500MB}\n"
    found = load(tmp_path, GOOD + more)

    assert found.networks_extra == ("br1",)
    assert found.acls == (site.SiteAcl("a", "default", 1), site.SiteAcl("a", "p", 3))
    assert found.thresholds == site.Thresholds(pool_free_min=500_000_000)
    assert load(tmp_path, GOOD + "thresholds: {pool_free_min: 4096}\n").thresholds.pool_free_min == 4096


def test_every_parameter_of_the_example_is_read():
    """The example has nearly all parameters."""
    found = site_file.load(data.folder("policies") / "site.yaml", POLICIES)
    bridge, user = found.bridges[2], found.projects[1]

    assert (bridge.subnet, bridge.mtu, bridge.isolate, bridge.config["ipv4.nat"]) == (
        "172.24.0.0/16",
        1500,
        True,
        "true",
    )
    assert (user.networks, user.pools, user.limits) == (("userbr0",), ("nvme", "hdd"), site.DEFAULT_LIMITS)
    assert found.networks_of("user-john") == ("userbr0",)
    assert found.pools_of("default") == ("nvme", "hdd", "iso")
    assert (found.antispoof, found.is_critical("default/dns")) == ({"userbr0": ("mac", "ipv4")}, True)
    assert (found.is_protected("nvme/a/b-data"), found.is_protected("hdd/a/b-data")) == (True, False)
    assert found.backups == site.Backups("sigsrv", "/srv/backups", "{name}-*.tar.gz")
    assert found.auth.listen["minisrv"] == ("10.77.0.2:8443",)
    assert (found.auth.admins, found.warnings_ignored) == (("ops",), ("Instance type not operational",))
    assert (found.thresholds.image_days, found.pools[2].loop_ok, found.waivers_max_days) == (60, True, 365)


def test_project_without_networks_may_use_all_of_the_site(tmp_path):
    """A project that no entry matches may use none."""
    more = "bridges: [{name: br0, vlan: {interface: v0, id: 2}}]\nnetworks_extra: [br1]\nprojects: [{match: a, kind: user}]\n"
    found = load(tmp_path, GOOD + more)

    assert (found.networks_of("a"), found.networks_of("b")) == (("br0", "br1"), ())


def test_exemption_of_keys_does_not_exempt_the_finding(tmp_path):
    """Only the named keys are exempt."""
    more = "exempt: {NET-001: [{match: 'a*', reason: a good reason, keys: [limits.cpu]}]}\n"
    found = load(tmp_path, GOOD + more)

    assert found.exemption("NET-001", "abc") is None
    assert found.exempt_keys("NET-001", "abc") == {"limits.cpu": "a good reason"}
    assert found.exempt_keys("NET-001", "b") == {}


@pytest.mark.parametrize(
    ("key", "hint"),
    [
        ("security.nestng", 'did you mean "security.nesting"?'),
        ("restricted.device.disk", 'did you mean "restricted.devices.disk"?'),
        ("core.https_adress", 'did you mean "core.https_address"?'),
        ("qqq", "Incus 6.0.4 and 7.0.2 have no such key"),
    ],
)
def test_exemption_of_a_mistyped_key_is_refused(tmp_path, key, hint):
    """It would excuse nothing, and the finding would stay."""
    more = f"exempt: {{NET-001: [{{match: 'a*', reason: a good reason, keys: [limits.cpu, {key}]}}]}}\n"

    with pytest.raises(UsageError) as refused:
        load(tmp_path, GOOD + more)

    assert f'exempt.NET-001[0].keys[1]: Incus has no configuration key "{key}"' in refused.value.message
    assert refused.value.hint == hint


@pytest.mark.parametrize(
    "key", ["user.owner", "ipv4.nat", "volatile.eth0.hwaddr", "environment.HOME", "snapshots.expiry"]
)
def test_exemption_of_a_key_of_any_entity_is_accepted(tmp_path, key):
    """Which entity a policy judges is not known here."""
    more = f"exempt: {{NET-001: [{{match: a, reason: a good reason, keys: [{key}]}}]}}\n"

    assert load(tmp_path, GOOD + more).exempt_keys("NET-001", "a") == {key: "a good reason"}


def test_shipped_site_files_are_valid():
    """These are the example in the checkout and the demo."""
    assert site_file.load(data.folder("policies") / "site.yaml", POLICIES).name == "sigsrv-infra"
    assert site_file.load(data.DEMO / "site.yaml", POLICIES).name == "demo"


@pytest.mark.parametrize(
    ("text", "line", "message", "hint"),
    [
        (GOOD + "bridgs: []\n", 6, 'unknown key "bridgs"', 'did you mean "bridges"?'),
        (GOOD + "pools:\n  - {name: p, driver: zsf}\n", 7, '"zsf" is not allowed', "allowed: zfs"),
        (GOOD + "pools:\n  - {name: p}\n", 7, '"driver" is missing', ""),
        (GOOD + "bridges:\n  - name: br0\n    vlan:\n      interface: v0\n      id: 4095\n", 10, "4095", "1 to 4094"),
        (
            GOOD + "bridges:\n  - name: br0\n    vlan: {interface: a-name-that-is-far-too-long, id: 5}\n",
            8,
            "does not match",
            "15 characters",
        ),
        (GOOD + "pools: 5\n", 6, "5 is not of type array", ""),
        (GOOD + "pools:\n  - {name: p, driver: dir}\n  - {name: p, driver: dir}\n", 8, '"p" is listed twice', ""),
        (GOOD + "pools:\n  - {name: p, driver: dir, members: [c]}\n", 7, '"c" is not a known host', "known: a, b"),
        (GOOD + "thresholds: {pool_free: 5}\n", 6, 'unknown key "pool_free"', 'did you mean "pool_free_min"?'),
        (GOOD + "thresholds:\n  pool_free_min: 5 GiB\n", 7, "'5 GiB' does not match", "5GiB, 500MB, or bytes"),
        (GOOD + "thresholds:\n  pool_free_percent: 101\n", 7, "101", "0 to 100"),
        (GOOD + "thresholds: {zfs_scrub_days: many}\n", 6, "'many' is not of type integer", ""),
        (GOOD + "acls:\n  - {name: a, rules: 3}\n", 7, 'unknown key "rules"', "min_rules"),
        (
            GOOD + "acls:\n  - {name: a}\n  - {name: a, project: b}\n  - {name: a}\n",
            9,
            '"a" of project "default" is listed twice',
            "",
        ),
        (
            GOOD + "bridges:\n  - {name: b, vlan: {interface: v, id: 2}, subnet: 10.0.0.1/8}\n",
            7,
            "has host bits set",
            "172.20.0.0/16",
        ),
        (
            GOOD + "bridges:\n  - {name: b, vlan: {interface: v, id: 2}, subnet: 10.0.0.0/8, gateway: 11.0.0.1}\n",
            7,
            "11.0.0.1 is not in the subnet 10.0.0.0/8",
            "",
        ),
        (
            GOOD + "bridges:\n  - {name: b, vlan: {interface: v, id: 2}, config: {bridge.external_interfaces: v}}\n",
            7,
            '"bridge.external_interfaces" is a member-specific key',
            "vlan.interface",
        ),
        (
            GOOD + "projects:\n  - {match: a, kind: user, networks: [br9]}\n",
            7,
            '"br9" is not a known network',
            "known: none",
        ),
        (GOOD + "auth: {listen: {c: [a]}}\n", 6, '"c" is not a known host', "known: a, b"),
        (GOOD + "backups: {host: c, dir: /b, pattern: '{name}'}\n", 6, '"c" is not a known host', "known: a, b"),
        (GOOD + "tresholds: {}\n", 6, 'unknown key "tresholds"', 'did you mean "thresholds"?'),
        (GOOD + "networks_extra: br1\n", 6, "'br1' is not of type array", ""),
        (
            GOOD + "exempt:\n  NET-01: [{match: '*', reason: a good reason}]\n",
            7,
            '"NET-01" is not a known policy',
            "NET-00",
        ),
        (GOOD + "name: again\n", 6, "duplicate key 'name'", ""),
        (GOOD + "on: 5\n", 6, "is not a string", "quotes"),
        (GOOD + "pools: [\n", 7, "not YAML", ""),
        (GOOD.replace("{name: a}", "{name: -oProxyCommand=reboot}"), 4, "does not match", "letters, digits"),
        (GOOD.replace("{name: a}", "{name: bb, member: bb}"), 5, 'two hosts have the member name "bb"', ""),
        (
            "version: 3\nname: x\nhosts: [{name: a}]\nbeyond: 1\n",
            1,
            "version: 3 is not a version that this sigsrv reads: it reads version 1 and 2",
            "upgrade sigsrv",
        ),
        ("version: '1'\nname: x\nhosts: [{name: a}]\n", 1, "'1' is not a version", "upgrade sigsrv"),
        ("", 1, "not of type object", ""),
    ],
)
def test_mistake_in_a_site_file_is_reported_with_its_line(tmp_path, text, line, message, hint):
    """The error shows the file, the line, the mistake and how to fix it."""
    with pytest.raises(UsageError) as caught:
        load(tmp_path, text)

    assert caught.value.message.startswith(f"{tmp_path / 'site.yaml'}:{line}:")
    assert message in caught.value.message
    assert hint in caught.value.hint


def test_site_file_is_searched_in_order(tmp_path, monkeypatch):
    """The order is --site, $SIGSRV_SITE, the checkout. If a named file is missing, sigsrv uses no other one."""
    one, two = tmp_path / "one.yaml", tmp_path / "two.yaml"
    one.write_text(GOOD)
    two.write_text(GOOD)
    monkeypatch.setenv("SIGSRV_SITE", str(two))

    assert site_file.find(str(one)) == one
    assert site_file.find(None) == two
    two.unlink()
    with pytest.raises(UsageError, match="no such site file"):
        site_file.find(None)
    monkeypatch.delenv("SIGSRV_SITE")
    assert site_file.find(None) == data.folder("policies") / "site.yaml"


@pytest.mark.parametrize("names", ["", ",", "nobody", "a,nobody"])
def test_unknown_hosts_are_refused(tmp_path, names):
    """An empty or mistyped --hosts is wrong use. A scan of no hosts would look like a success."""
    with pytest.raises(UsageError, match="--hosts"):
        load(tmp_path, GOOD).select(names)


def _broken_policy(tmp_path, old, new):
    folder = tmp_path / "policies" / "net"
    folder.mkdir(parents=True)
    text = (data.folder("policies") / "net" / "NET-001.yaml").read_text()
    assert old in text
    path = folder / "NET-001.yaml"
    path.write_text(text.replace(old, new, 1))
    return path


@pytest.mark.parametrize(
    ("old", "new", "line", "message", "hint"),
    [
        ("severity: critical", "severity: hihg", 4, '"hihg" is not allowed', "critical, high, medium, low"),
        ("severity: critical", "severty: critical", 4, 'unknown key "severty"', 'did you mean "severity"?'),
        ("id: NET-001", "id: NET-002", 2, "must be in net/NET-002.yaml", ""),
        ("remediation: attach-vlan\n", "", 1, "exactly one of remediation, by_hand is required; found: none", ""),
        ("examines: bridge", "examines: brigde", 8, '"brigde" is not allowed', "bridge"),
        (
            "examines: bridge",
            "examines: bridge\nrule: {type: 5}\nobserve: /x",
            9,
            "not a JSON Schema",
            "",
        ),
        ("why: >-", "why: [", 5, "not YAML", ""),
    ],
)
def test_mistake_in_a_policy_is_reported_with_its_line(tmp_path, old, new, line, message, hint):
    """sigsrv refuses an invalid policy file before it scans."""
    path = _broken_policy(tmp_path, old, new)

    with pytest.raises(UsageError) as caught:
        policy.load([path.parents[1]])

    found = int(caught.value.message.removeprefix(f"{path}:").split(":")[0])
    assert found >= line
    assert message in caught.value.message
    assert hint in caught.value.hint


def test_folder_without_policies_is_an_error(tmp_path):
    """A run without policies must not end without findings."""
    with pytest.raises(UsageError, match="no policy found"):
        policy.load([tmp_path])


def test_policy_in_a_later_folder_replaces_an_earlier_one(tmp_path):
    """Only a policy with the same id is replaced."""
    folder = tmp_path / "proj"
    folder.mkdir()
    shutil.copy(data.folder("policies") / "proj" / "PROJ-001.yaml", folder)
    (folder / "PROJ-001.yaml").write_text(
        (folder / "PROJ-001.yaml").read_text().replace("severity: high", "severity: low")
    )

    found = policy.load([data.folder("policies"), tmp_path])

    assert found["PROJ-001"].severity == "low"
    assert set(found) == set(POLICIES)
