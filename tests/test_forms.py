"""Tests the forms of policies: each form and each parameter, on the example document with a small change."""

from __future__ import annotations

import dataclasses
from pathlib import Path

import pytest
import yaml

from sigsrv.authoring import document
from sigsrv.facts.resources import Project
from sigsrv.judge.evaluate import evaluate
from sigsrv.judge.form_keys import Usual, fits, is_right, same
from sigsrv.judge.form_values import Subject, wrong_items
from sigsrv.model import policy, records, yamlfile
from sigsrv.model.errors import EvidenceError
from sigsrv.model.forms import Comparison, Forms, Keys, Value, Wanted
from sigsrv.report import phrases

SHIPPED = policy.load()
WEB, DB, VM = "SITE-001@sigsrv/default/web", "SITE-001@minisrv/default/db", "SITE-001@minisrv/user-john/vm"
CONFIG = "/cluster/instances/web/expanded_config"
# A policy that fails on each host for host, bridges and pools: the root of findings.
ROOT = "{threshold: {fact: %s, at_least: 99, unit: things}}"


def made(text, examines="instance", policy_id="SITE-001", **more):
    """Return a policy with forms, written as in a policy file. The schema must accept them."""
    content = yaml.safe_load(text)
    whole = {**yamlfile.load(SHIPPED["INST-002"].path).data, "id": policy_id, "examines": examines, **more, **content}
    for key in ("match", "keys", "shows"):
        if key not in content:
            whole.pop(key, None)
    found = yamlfile.mistakes(yamlfile.YamlDocument(Path("made.yaml"), whole, {}), yamlfile.schema("policy"))
    assert found == [], [str(each) for each in found]
    forms = {key: value for key, value in content.items() if key not in ("match", "expected")}
    return dataclasses.replace(
        SHIPPED["INST-002"],
        id=policy_id,
        title="made up",
        examines=examines,
        match=content.get("match", {}),
        expected=content.get("expected", ""),
        forms=records.read(Forms, forms),
        **more,
    )


def judged(text, *changes, examines="instance", roots=(), **more):
    """Return the findings of a made-up policy on the changed example document, by id. changes: (path, value); ``...`` removes."""
    patch = [
        {"op": "remove", "path": path} if value is ... else {"op": "add", "path": path, "value": value}
        for path, value in changes
    ]
    site, hosts = document.facts_of(document.patched(patch))
    found = evaluate([made(text, examines, **more), *roots], {}, site, hosts)
    return {each.id: each for each in found}


def verdict(text, *changes, of=WEB, **more):
    return str(judged(text, *changes, **more)[of].verdict)


# --- paths, operators and texts


@dataclasses.dataclass(frozen=True)
class Part:
    name: str = "a"
    size: float = 2.0


@dataclasses.dataclass(frozen=True)
class Thing:
    """Made-up facts."""

    name: str = "t"
    count: int = 3
    tags: tuple[str, ...] = ("a", "b")
    nothing: str | None = None
    config: dict[str, str] = dataclasses.field(default_factory=lambda: {"restricted": "true", "a.b": "{name}\x1b[31m"})
    parts: dict[str, Part] = dataclasses.field(default_factory=lambda: {"a": Part()})

    @property
    def unread(self):
        raise EvidenceError("refused")

    def of(self, name):
        return name


THING = Subject("h", "r", Thing(), {"site": Part("s"), "entry": None})


@pytest.mark.parametrize(
    ("path", "value"),
    [
        ("count", 3),
        ("nothing", None),
        ("nothing.more", None),
        ("config.restricted", "true"),
        ("config.restricted.networks.access", None),
        ("config.a.b", "{name}\x1b[31m"),
        ("config.a", None),
        ("parts.a.size", 2.0),
        ("parts.b.size", None),
        ("site.name", "s"),
        ("entry.vlan.interface", None),
    ],
)
def test_a_path_leads_to_a_fact(path, value):
    """A key that is unset, and an entry that does not exist, have no value."""
    assert THING.look_up(path) == value


@pytest.mark.parametrize(
    "path", ["cuont", "of", "parts.a.sice", "count.more", "site.neme", "tags.0", "_host", "unread", "name.x"]
)
def test_a_path_that_leads_nowhere_is_unknown(path):
    """Also a method, a part of a number, and a fact that could not be read. The message names the path, or why."""
    with pytest.raises(EvidenceError, match=rf"there is no fact {path}|refused"):
        THING.look_up(path)


@pytest.mark.parametrize(
    ("fact", "operator", "value", "wrong"),
    [
        ("count", "is", 3, []),
        ("count", "is", 4, [3]),
        ("nothing", "is", None, []),
        ("count", "is", None, [3]),
        ("count", "is_not", 3, [3]),
        ("nothing", "is_not", None, [None]),
        ("tags", "is_not", None, []),
        ("tags", "is", ["a", "b"], []),
        ("tags", "is_not", ["a", "b"], [("a", "b")]),
        ("tags", "is", [], [("a", "b")]),
        ("tags", "lacks", "c", []),
        ("tags", "lacks", "a", ["a"]),
        ("name", "one_of", ["s", "t"], []),
        ("name", "one_of", ["s"], ["t"]),
        ("name", "none_of", ["s"], []),
        ("name", "none_of", ["t"], ["t"]),
        ("count", "at_least", 3, []),
        ("count", "at_least", 3.5, [3]),
        ("count", "at_most", 3, []),
        ("count", "at_most", 2, [3]),
        ("tags", "has", "a", []),
        ("tags", "has", "c", ["c"]),
        ("tags", "within", ["a", "b", "c"], []),
        ("tags", "within", ["a"], ["b"]),
        ("tags", "covers", ["a"], []),
        ("tags", "covers", ["a", "d", "c"], ["d", "c"]),
        ("parts", "has", "a", []),
        ("count", "at_least", {"fact": "parts.a.size"}, []),
        ("name", "is", {"site": "name"}, ["t"]),
        ("nothing", "is", {"entry": "vlan.interface"}, []),
    ],
)
def test_an_operator_yields_what_is_wrong(fact, operator, value, wrong):
    """The items of a list, or the fact itself. A value can be written out, or come from the site or from a fact."""
    comparison = records.read(Comparison, {"fact": fact, operator: value})

    assert list(wrong_items(comparison, THING)) == wrong


@pytest.mark.parametrize(
    ("fact", "operator", "value"),
    [
        ("name", "at_least", 3),
        ("name", "at_least", "a"),
        ("nothing", "at_most", 3),
        ("count", "at_most", "3"),
        ("count", "at_most", None),
        ("name", "has", "t"),
        ("name", "within", ["t"]),
        ("count", "covers", [3]),
        ("name", "one_of", "tt"),
        ("unread", "is_not", 1),
        ("count", "is", {"fact": "unread"}),
        ("count", "is", {"site": "thresholds.x"}),
    ],
)
def test_what_can_not_be_compared_is_unknown(fact, operator, value):
    """A comparison with another type is neither true nor false."""
    with pytest.raises(EvidenceError):
        list(wrong_items(records.read(Comparison, {"fact": fact, operator: value}), THING))


@pytest.mark.parametrize(
    ("template", "text"),
    [
        ("plain", "plain"),
        ("{count} of {tags}, {nothing}", "3 of a, b, none"),
        ("{parts.a.size} {config.a.b}", "2 {name}\x1b[31m"),
        ("{Name} {} {count", "{Name} {} {count"),
        ("{site.name}", "s"),
    ],
)
def test_a_text_shows_facts(template, text):
    """Braces in a value are no path. The report shows control characters as escapes, see ``phrases.visible``."""
    assert THING.text(template) == text
    assert "\x1b" not in phrases.visible(text)


def test_the_text_of_a_fault_lists_the_wrong_items():
    """If none is wrong, it has none."""
    assert THING.text("not {wrong}", wrong="c, d") == "not c, d"
    assert THING.text("not {wrong}", wrong="") == "not "


def test_a_text_with_a_path_that_leads_nowhere_is_unknown():
    """It is never shown half."""
    with pytest.raises(EvidenceError, match="there is no fact cuont"):
        THING.text("{cuont}")


# --- keys


@pytest.mark.parametrize(
    ("found", "wanted", "equal"),
    [
        ("1GiB", "1024MiB", True),
        ("1GB", "1GiB", False),
        ("yes", "true", True),
        ("OFF", "false", True),
        ("yes", "no", False),
        ("", "false", False),
        ("", "", True),
        ("a", "b", False),
        ("50%", "50%", True),
        ("1", "true", True),
    ],
)
def test_values_are_compared_as_incus_reads_them(found, wanted, equal):
    """Sizes have units, and booleans have four words each. Unset is equal to nothing else."""
    assert same(found, wanted) is equal


@pytest.mark.parametrize(
    ("text", "pattern", "is_fit"),
    [
        ("ceph:pool", "ceph:*", True),
        ("ceph", "ceph:*", False),
        ("tcp:[::]:80", "tcp:[::]:*", True),
        ("tcp::80", "tcp:[::]:*", False),
        ("a1", "a?", False),
        ("a\nb", "a*b", True),
        ("ab", "a", False),
    ],
)
def test_a_star_is_the_only_sign_of_a_pattern(text, pattern, is_fit):
    """Addresses have brackets and question marks of their own."""
    assert fits(text, pattern) is is_fit


@pytest.mark.parametrize(
    ("wanted", "value", "right"),
    [
        ('"false"', "no", True),
        ('"false"', "true", False),
        ('{is: "2"}', "2", True),
        ('{is: ""}', "2", False),
        ('{is: ""}', "", True),
        ('{is: ""}', None, True),
        ('{is: "2"}', None, False),
        ('{one_of: ["1", ""]}', "1", True),
        ('{one_of: ["1", ""]}', None, True),
        ('{one_of: ["1"]}', "2", False),
        ('{like: ["0-*"]}', "0-3", True),
        ('{like: ["0-*"]}', "1", False),
        ('{like: ["*"]}', None, False),
        ('{like: ["*"]}', " ", False),
        ("{above: 1073741824}", "2GiB", True),
        ("{above: 1073741824}", "1GiB", False),
        ("{above: 1073741824}", "1024MiB", False),
        ("{above: 0}", None, False),
        ("{in: {fact: profiles}}", "svc", True),
        ("{in: {fact: profiles}}", "2", False),
        ("{above: 1073741824, one_of: [unlimited]}", "unlimited", True),
        ('{is: "1", unless: [{fact: type, is: container}]}', "2", True),
        ('{is: "1", unless: [{fact: type, is: container}, {fact: status, is: Stopped}]}', "2", False),
        ('{is: "1", unless: [{fact: type, is: virtual-machine}]}', "2", False),
    ],
)
def test_what_a_key_must_be(wanted, value, right):
    """One of the ways to say it is enough. ``unless`` needs all of its comparisons."""
    change = (f"{CONFIG}/limits.cpu", value) if value is not None else (f"{CONFIG}/limits.cpu", ...)

    assert verdict(f"keys: {{must: {{limits.cpu: {wanted}}}}}", change) == ("pass" if right else "fail")


def test_a_size_that_can_not_be_read_is_unknown():
    """A percentage is no size. The reason names the key."""
    found = judged("keys: {must: {limits.memory: {above: 5}}}", (f"{CONFIG}/limits.memory", "50%"))[WEB]

    assert (found.verdict, found.reason) == ("error", "limits.memory: '50%' is not a size")


def test_a_wrong_key_beats_a_key_that_can_not_be_read():
    """The finding fails, and says what is unknown."""
    text = 'keys: {must: {limits.memory: {above: 5}, limits.cpu: "9"}}'
    found = judged(text, (f"{CONFIG}/limits.memory", "50%"))[WEB]

    assert (found.verdict, found.observed) == ("fail", "limits.cpu is 1")
    assert found.reason == "unknown: limits.memory: '50%' is not a size"


def test_a_star_in_a_key_stands_for_each_key_that_is_set():
    """A key that does not fit does not matter."""
    text = 'keys: {must: {limits.*: {one_of: ["1", 1GiB]}}}'

    assert judged(text)[WEB].observed == "limits.processes is 500"
    assert verdict(text, (f"{CONFIG}/limits.processes", ...)) == "pass"


def test_the_finding_names_the_profile_that_a_key_comes_from():
    """A person must know where to change it."""
    found = judged(
        'keys: {must: {security.nesting: "false"}}',
        (f"{CONFIG}/security.nesting", "true"),
        ("/cluster/profiles/svc/config/security.nesting", "true"),
    )[WEB]

    assert found.observed == "security.nesting is true (from profile svc)"


def test_an_exempt_key_is_no_fault_and_the_note_has_the_reason():
    """Other keys still count, and the fix leaves the exempt key alone."""
    text = 'keys: {must: {limits.cpu: "9", limits.processes: "9"}}'
    exempt = ("/site/exempt/SITE-001", [{"match": "default/web", "reason": "it builds", "keys": ["limits.cpu"]}])

    found = judged(text, exempt)
    both = judged(text, exempt, (f"{CONFIG}/limits.processes", "9"))[WEB]

    assert (found[WEB].verdict, found[WEB].observed) == ("fail", "limits.processes is 500")
    assert found[WEB].reason == "the site exempts limits.cpu: it builds"
    assert found[WEB].fix["set"] == ["limits.processes=9"]
    assert (both.verdict, both.reason) == ("pass", "the site exempts limits.cpu: it builds")
    assert found[DB].observed == "limits.cpu is 1; limits.processes is 500"


def test_an_exempt_key_that_can_not_be_read_is_exempt_too():
    """Whatever its value means."""
    exempt = [{"match": "default/web", "reason": "it builds", "keys": ["limits.memory"]}]
    changes = ((f"{CONFIG}/limits.memory", "50%"), ("/site/exempt/SITE-001", exempt))

    found = judged("keys: {must: {limits.memory: {above: 5}}}", *changes)[WEB]

    assert (found.verdict, found.reason) == ("pass", "the site exempts limits.memory: it builds")


def test_the_keys_of_the_site_are_compared():
    """``equal`` has keys and values, here the features that the site file wants of a project. Booleans and sizes have several spellings."""
    text = "keys: {equal: {entry: features}}"
    project = "/cluster/projects/user-john/config/features.profiles"
    of = "SITE-001@cluster/user-john"

    assert verdict(text, examines="project", of=of) == "pass"
    assert verdict(text, (project, "YES"), examines="project", of=of) == "pass"
    found = judged(text, (project, "off"), examines="project")[of]
    assert found.observed == "features.profiles is false"
    assert found.fix == {"keys": [{"name": "features.profiles", "value": "true"}]}


@pytest.mark.parametrize(
    ("config", "expected", "shown"),
    [
        ({"size": "10240MiB"}, "pass", ""),
        ({"size": "11GiB"}, "fail", "size is 10GiB"),
        ({"size": "10GiB", "security.shared": "true"}, "fail", "security.shared is unset"),
    ],
)
def test_sizes_of_the_site_are_compared_as_incus_reads_them(config, expected, shown):
    """A key that the site file wants and the resource does not have is wrong."""
    text = "keys: {equal: {entry: config}}"
    changes = (("/site/pools/0/config", config), ("/cluster/pools/nvme/config/size", "10GiB"))

    found = judged(text, *changes, examines="pool")["SITE-001@sigsrv/nvme"]

    assert (found.verdict, found.observed) == (expected, shown)


def test_equal_takes_the_keys_of_the_entry():
    """``{entry: config}`` of a network is that of its bridge in the site file. A network without an entry has nothing to compare."""
    text = "keys: {equal: {entry: config}}"
    found = judged(text, ("/site/bridges/1/config", {"ipv6.address": "fd00::1/64"}), examines="network")

    assert {key[17:]: str(each.verdict) for key, each in found.items()} == {
        "eth0": "pass",
        "sigsrvbr0": "pass",
        "userbr0": "fail",
    }


def test_when_limits_the_keys_to_some_resources():
    """If no part of the policy counts for a resource, there is nothing to judge."""
    text = 'keys: [{when: [{fact: type, is: virtual-machine}], must: {limits.cpu: "9"}}]'

    assert {key: str(each.verdict) for key, each in judged(text).items()} == {
        WEB: "not-applicable",
        DB: "not-applicable",
        VM: "fail",
    }


def test_match_selects_resources():
    """The others have no finding."""
    assert set(judged('{match: {properties: {type: {const: container}}}, keys: {must: {limits.cpu: "1"}}}')) == {
        WEB,
        DB,
    }


def test_the_keys_can_be_in_another_fact():
    """``of`` names it; the default of an instance has the keys of its profiles too."""
    assert verdict('keys: {of: config, must: {limits.cpu: ""}}') == "pass"
    assert verdict('keys: {must: {limits.cpu: ""}}') == "fail"


@pytest.mark.parametrize(
    ("examines", "key", "of"),
    [
        ("host", "core.https_address", "SITE-001@sigsrv/sigsrv"),
        ("cluster", "core.https_address", "SITE-001@cluster/cluster"),
        ("project", "restricted", "SITE-001@cluster/user-john"),
        ("network", "ipv4.address", "SITE-001@cluster/userbr0"),
        ("pool", "source", "SITE-001@sigsrv/nvme"),
        ("volume", "snapshots.schedule", "SITE-001@sigsrv/nvme/default/web-data"),
    ],
)
def test_each_kind_with_configuration_has_its_keys(examines, key, of):
    """Without ``of``, the form reads the configuration of the resource."""
    assert verdict(f'keys: {{must: {{{key}: {{like: ["*"]}}}}}}', examines=examines, of=of) == "pass"
    assert verdict(f'keys: {{must: {{{key}: ""}}}}', examines=examines, of=of) == "fail"


@pytest.mark.parametrize(
    ("form", "change", "fix"),
    [
        ('must: {limits.cpu: "2"}', [], {"set": ["limits.cpu=2"], "unset": [], "restart": True, "refuse": ""}),
        ('must: {limits.cpu: ""}', [], {"set": [], "unset": ["limits.cpu"], "restart": True}),
        ('must: {limits.cpu: {one_of: ["2"], set: "2"}}', [], {"set": ["limits.cpu=2"]}),
        ('must: {limits.cpu: "2"}, live: [limits.cpu]', [], {"restart": False}),
        ('must: {limits.cpu: "2"}, live: ["*"]', [], {"restart": False}),
        ('must: {limits.cpu: "2"}, live: [limits.memory]', [], {"restart": True}),
        (
            'must: {limits.cpu: "2"}, live: [limits.cpu], effect: [{fact: may_run, is: false}]',
            [],
            {"restart": True},
        ),
        (
            'must: {limits.cpu: "2"}, refuse: [{when: [{fact: may_run, is: true}], text: stop it}]',
            [],
            {"refuse": "stop it"},
        ),
        (
            'must: {limits.cpu: "2"}, refuse: [{when: [{fact: may_run, is: false}], text: stop it}]',
            [],
            {"refuse": ""},
        ),
        (
            'must: {limits.cpu: "2"}, refuse: [{when: [{fact: is_unmapped, is: true}], text: stop it}]',
            [("/cluster/instances/web/status", "Error"), ("/cluster/instances/web/config", {})],
            {"refuse": "stop it (unknown: the status is Error, which does not show whether the container runs privileged)"},
        ),
    ],
)  # fmt: skip
def test_the_fix_of_an_instance(form, change, fix):
    """It has what ``set-instance-config`` needs. What can't be read refuses the fix."""
    found = judged(f"keys: {{{form}}}", *change)[WEB]

    assert found.verdict == "fail"
    whole = {
        "instance": "web",
        "project": "default",
        "set": ["limits.cpu=2"],
        "unset": [],
        "restart": True,
        "start": False,
    }
    refused = fix.get("refuse", "")
    assert found.fix == {**whole, "refuse": refused, "refuse_anywhere": refused, **fix}


def test_the_fix_has_the_keys_of_all_parts():
    """A policy may have several ``keys``: the fix of one does not replace that of another."""
    text = """
    keys:
      - {must: {limits.cpu: "2"}, live: ["*"]}
      - {must: {limits.processes: ""}}
      - {must: {limits.memory: 1GiB}, live: ["*"]}
    """
    fix = judged(text)[WEB].fix

    assert (fix["set"], fix["unset"], fix["restart"]) == (["limits.cpu=2"], ["limits.processes"], True)


def test_the_fix_of_a_project_has_its_keys():
    """``set-project-config`` sets them; an empty value unsets a key."""
    text = 'keys: [{must: {restricted: "false"}}, {must: {limits.cpu: "", limits.instances: "10"}}]'
    fix = judged(text, examines="project")["SITE-001@cluster/user-john"].fix

    assert fix == {"keys": [{"name": "restricted", "value": "false"}, {"name": "limits.cpu", "value": ""}]}


EFFECT = 'keys: {must: {security.privileged: "false"}, effect: [{fact: is_unmapped, is: false, fault: no id map}]}'
IDMAP = "/cluster/instances/web/config/volatile.idmap.current"
PRIVILEGED = (f"{CONFIG}/security.privileged", "true")


@pytest.mark.parametrize(
    ("changes", "expected", "shown"),
    [
        ([], "pass", ""),
        ([(IDMAP, "[]")], "fail", "no id map"),
        ([(IDMAP, "[]"), PRIVILEGED], "fail", "security.privileged is true"),
        ([(IDMAP, "[]"), ("/cluster/instances/web/status", "Error")], "error", ""),
        (
            [(IDMAP, "[]"), ("/cluster/instances/web/status", "Error"), PRIVILEGED],
            "fail",
            "security.privileged is true",
        ),
    ],
)
def test_the_effect_counts_if_the_keys_are_right(changes, expected, shown):
    """A key that is set and not in force is a failure. A wrong key already says that it is not in force."""
    found = judged(EFFECT, *changes)[WEB]

    assert (found.verdict, found.observed) == (expected, shown)


def test_the_effect_of_an_exempt_key_is_exempt_too():
    """A container that may be privileged has no id map."""
    exempt = [{"match": "default/web", "reason": "it is the router", "keys": ["security.privileged"]}]

    found = judged(EFFECT, (IDMAP, "[]"), PRIVILEGED, ("/site/exempt/SITE-001", exempt))[WEB]

    assert (found.verdict, found.reason) == ("pass", "the site exempts security.privileged: it is the router")


# --- devices

DEVICES = "/cluster/instances/web/expanded_devices"


@pytest.mark.parametrize(
    ("form", "device", "expected"),
    [
        ("types: [usb]", {"type": "usb"}, "fail"),
        ("types: [usb]", {"type": "gpu"}, "pass"),
        ("types: [usb, gpu]", {"type": "gpu"}, "fail"),
        ("types: [usb]", {"type": "none"}, "pass"),
        ('types: [usb], only: {vendorid: ""}', {"type": "usb", "vendorid": "1"}, "pass"),
        ('types: [usb], only: {vendorid: ""}', {"type": "usb"}, "fail"),
        ("types: [usb], allowed: [{vendorid: {one_of: [a, b]}}]", {"type": "usb", "vendorid": "b"}, "pass"),
        ("types: [usb], allowed: [{vendorid: {one_of: [a, b]}}]", {"type": "usb", "vendorid": "c"}, "fail"),
        ("types: [usb], allowed: [{vendorid: a, productid: b}]", {"type": "usb", "vendorid": "a"}, "fail"),
        ("types: [usb], allowed: [{vendorid: a}, {productid: b}]", {"type": "usb", "productid": "b"}, "pass"),
        ('types: [usb], allowed: [{vendorid: {like: ["1*"]}}]', {"type": "usb"}, "fail"),
        ("types: [proxy], listed: proxies", {"type": "proxy", "listen": "tcp:127.0.0.1:80", "connect": "tcp:1.2.3.4:80"}, "pass"),
        ("types: [proxy], listed: proxies", {"type": "proxy", "listen": "tcp:0.0.0.0:80", "connect": "tcp:1.2.3.4:80"}, "fail"),
        ('types: [disk], only: {pool: ""}, listed: host_paths', {"type": "disk", "source": "/srv/a"}, "pass"),
        ('types: [disk], only: {pool: ""}, listed: host_paths', {"type": "disk", "source": "/srv/../etc"}, "fail"),
    ],
)  # fmt: skip
def test_devices(form, device, expected):
    """All keys of one of ``allowed`` must fit, or an entry of the list of the site file."""
    lists = (
        ("/site/proxies", [{"instance": "default/*", "listen": "tcp:127.0.0.1:*", "connect": "tcp:1.2.3.4:*"}]),
        ("/site/host_paths", [{"instance": "default/*", "source": "/srv/*"}]),
    )

    assert verdict(f"devices: {{{form}}}", (f"{DEVICES}/x", device), *lists) == expected


def test_a_forbidden_device_is_shown_with_its_profile_and_can_be_detached():
    """``shows`` has keys of the device in braces. The fix knows where the device comes from."""
    device = {"type": "usb", "vendorid": "{evil}"}
    changes = [(f"{DEVICES}/x", device), ("/cluster/profiles/svc/devices/x", device)]

    found = judged('devices: {types: [usb], shows: "vendor {vendorid}, product {productid}"}', *changes)[WEB]

    assert found.observed == "x: vendor {evil}, product none (from profile svc)"
    assert (found.fix["instance"], found.fix["project"]) == ("web", "default")
    assert [(each["name"], each["own"], each["given"]) for each in found.fix["devices"]] == [("x", False, True)]
    assert judged("devices: {types: [usb]}", *changes)[WEB].observed == "x: usb {evil} (from profile svc)"


def test_a_device_that_can_not_be_read_hides_no_forbidden_one():
    """Each device is a clause of its own."""
    form = "devices: {types: [disk], only: {path: {like: ['/x*']}}, allowed: [{size: {above: 5}}]}"
    changes = [(f"{DEVICES}/a", {"type": "disk", "path": "/x1", "size": "50%"})]

    assert verdict(form, *changes) == "error"
    found = judged(form, *changes, (f"{DEVICES}/b", {"type": "disk", "path": "/x2", "size": "1"}))[WEB]
    assert (found.verdict, found.observed) == ("fail", "b: disk /x2")
    assert [each["name"] for each in found.fix["devices"]] == ["b"]


def test_an_instance_without_such_devices_can_be_left_out():
    """Without ``if_none`` it complies."""
    assert set(judged("devices: {types: [tpm], if_none: it has no tpm}", (f"{DEVICES}/x", {"type": "tpm"}))) == {WEB}
    assert verdict("devices: {types: [tpm]}") == "pass"


def test_an_odd_device_costs_only_its_own_instance():
    """``only`` decides whether the policy concerns an instance. If that can't be read, the others still count."""
    form = "devices: {types: [disk], only: {size: {above: 5}}, if_none: no large disk}"
    found = judged(form, (f"{DEVICES}/x", {"type": "disk", "size": "50%"}))

    assert {key: str(each.verdict) for key, each in found.items()} == {WEB: "error"}


# --- rows that could not be read


@pytest.mark.parametrize(
    "form", ['keys: {must: {limits.cpu: "1"}}', "devices: {types: [usb]}", "threshold: {fact: x, at_least: 1}"]
)
def test_an_unread_instance_is_an_error(form):
    """Its member does not answer, so only its name is known."""
    changes = [
        ("/cluster/instances/db/status", "Error"),
        ("/cluster/instances/db/config", None),
        ("/cluster/instances/db/expanded_config", None),
        ("/minisrv/failures/api", {"kind": "down", "reason": "nothing answers"}),
    ]

    found = judged(form, *changes)[DB]

    assert found.verdict == "error"
    assert found.reason


def test_without_the_list_there_is_one_error():
    """Nobody knows what there would be to judge."""
    refused = {"kind": "denied", "reason": "refused"}
    found = judged("devices: {types: [usb]}", ("/sigsrv/failures/api", refused), ("/minisrv/failures/api", refused))

    assert {key: str(each.verdict) for key, each in found.items()} == {"SITE-001@cluster/cluster": "error"}


def test_a_path_that_leads_nowhere_is_an_error_and_no_pass():
    """Lint finds it first. A policy that was never linted must not pass either."""
    found = judged("threshold: {fact: machine.cpsu, at_least: 1}", examines="host")["SITE-001@sigsrv/sigsrv"]

    assert found.verdict == "error"
    assert found.reason == "there is no fact machine.cpsu: MachineFacts has no cpsu"


@pytest.mark.parametrize(
    "text",
    [
        "threshold: {fact: machine.cpus, when: [{fact: machine.cpsu, is: 1}], at_least: 1}",
        "{needs: {that: {fact: machine.cpsu, is: 1}, otherwise: x}, threshold: {fact: machine.cpus, at_least: 1}}",
        "threshold: {fact: machine.cpus, at_least: {site: thresholds.x}}",
        'threshold: {fact: machine.cpus, at_least: 1, text: "{machine.cpsu}"}',
        'keys: {when: {fact: machine.cpsu, is: 1}, must: {core.https_address: ""}}',
        '{shows: "{machine.cpsu}", threshold: {fact: machine.cpus, at_least: 1}}',
    ],
)
def test_a_wrong_path_is_an_error_wherever_it_is(text):
    """In a condition, a need, a value, a text."""
    assert verdict(text, examines="host", of="SITE-001@sigsrv/sigsrv") == "error"


# --- clauses: threshold and listed

HOST = "SITE-001@sigsrv/sigsrv"
CPUS, UNREAD = "fact: machine.cpus", ("/sigsrv/failures/apparmor", {"kind": "denied", "reason": "refused"})


@pytest.mark.parametrize(
    ("form", "expected", "shown", "wanted"),
    [
        (f"{CPUS}, at_least: 4", "pass", "machine.cpus is 4", "machine.cpus"),
        (f"{CPUS}, at_least: 5, unit: CPUs", "fail", "4 CPUs", "at least 5 CPUs"),
        (f"{CPUS}, at_most: 3, unit: CPUs", "fail", "4 CPUs", "at most 3 CPUs"),
        (f"{CPUS}, at_most: {{site: thresholds.load_per_cpu}}, unit: CPUs", "fail", "4 CPUs", "at most 2 CPUs"),
        (f"{CPUS}, at_most: 3, text: '{{machine.cpus}} of {{name}}'", "fail", "4 of sigsrv", ""),
        (f"{CPUS}, at_most: 3, text: good, fault: 'too many: {{wrong}}'", "fail", "too many: 4", ""),
        (f"{CPUS}, at_most: 5, text: good, fault: 'too many: {{wrong}}'", "pass", "good", ""),
        (f"{CPUS}, at_most: 3, when: [{{fact: name, is: minisrv}}]", "not-applicable", "", ""),
        (f"{CPUS}, at_most: 3, unless: [{{fact: name, is: sigsrv}}]", "pass", "name is sigsrv", ""),
        (f"{CPUS}, at_most: 3, unless: [{{fact: name, is: minisrv}}]", "fail", "machine.cpus is 4", ""),
        (f"{CPUS}, at_most: 3, verdict: error", "error", "", ""),
        (f"{CPUS}, at_most: 3, verdict: not-applicable", "not-applicable", "", ""),
        (f"{CPUS}, at_most: 3, when: {{fact: name, is: sigsrv}}", "fail", "machine.cpus is 4", ""),
    ],
)
def test_threshold(form, expected, shown, wanted):
    """A number is compared with a limit. The default texts have the unit, or the name of the fact."""
    found = judged(f"threshold: {{{form}}}", examines="host")[HOST]

    assert (found.verdict, found.observed) == (expected, shown)
    assert wanted in found.expected


@pytest.mark.parametrize(
    ("form", "expected", "shown"),
    [
        ("fact: locations, covers: [sigsrv, minisrv]", "pass", "locations is minisrv, sigsrv"),
        ("fact: locations, covers: [sigsrv, third], fault: 'not on {wrong}'", "fail", "not on third"),
        ("fact: locations, within: [sigsrv], fault: 'also on {wrong}'", "fail", "also on minisrv"),
        ("fact: status, one_of: [Created, Pending]", "pass", "status is Created"),
        ("fact: status, none_of: [Created]", "fail", "status is Created"),
        ("fact: locations, has: third", "fail", "locations is minisrv, sigsrv"),
        ("fact: name, one_of: {site: networks}", "pass", "name is userbr0"),
    ],
)
def test_listed(form, expected, shown):
    """A list is compared with another one, or a value must be on a list."""
    found = judged(f"listed: {{{form}}}", examines="network")["SITE-001@cluster/userbr0"]

    assert (found.verdict, found.observed) == (expected, shown)


@pytest.mark.parametrize(
    ("at_most", "expected"),
    [(3, "fail"), (5, "error")],
)
def test_an_unknown_clause_beside_others(at_most, expected):
    """A violated clause beats an unknown one, which beats those that hold."""
    text = f"threshold: [{{fact: machine.apparmor, at_least: 0}}, {{{CPUS}, at_most: {at_most}, unit: CPUs}}]"
    found = judged(text, UNREAD, examines="host")[HOST]

    assert (found.verdict, found.observed) == (expected, "4 CPUs")
    assert "refused" in found.reason


def test_a_text_that_could_not_be_read_hides_no_violation():
    """The finding then shows the fact alone. A clause that holds is unknown without its text."""
    text = f"threshold: {{{CPUS}, at_most: %s, unit: CPUs, fault: 'armor {{machine.apparmor}}', text: 'armor {{machine.apparmor}}'}}"
    found = judged(text % 3, UNREAD, examines="host")[HOST]

    assert (found.verdict, found.observed) == ("fail", "4 CPUs")
    assert verdict(text % 5, UNREAD, examines="host", of=HOST) == "error"


def test_a_condition_that_could_not_be_read_costs_only_its_own_keys():
    """Another part that is violated still fails the finding."""
    text = f"""
    keys: {{when: {{fact: machine.apparmor, is: true}}, must: {{core.https_address: ""}}}}
    threshold: {{{CPUS}, at_most: 3, unit: CPUs}}
    """
    assert judged(text, UNREAD, examines="host")[HOST].observed == "4 CPUs"
    assert verdict(text, UNREAD, examines="host", of=HOST) == "fail"


def test_the_finding_says_what_the_policy_expects():
    """``expected`` may have facts in it, and ``shows`` is what a pass shows."""
    text = f"{{expected: 'few CPUs on {{name}}', shows: 'all of {{machine.cpus}}', threshold: {{{CPUS}, at_most: 4}}}}"
    found = judged(text, examines="host")[HOST]

    assert (found.expected, found.observed) == ("few CPUs on sigsrv", "all of 4")


def test_the_fix_takes_its_values_from_facts_and_the_site():
    """Only a failure has them."""
    text = f"{{fix: {{a: {{fact: name}}, b: {{site: name}}, c: 5, d: null}}, threshold: {{{CPUS}, at_most: %s}}}}"

    assert judged(text % 3, examines="host")[HOST].fix == {"a": "sigsrv", "b": "example", "c": 5, "d": None}
    assert judged(text % 4, examines="host")[HOST].fix == {}


# --- needs and roots


@pytest.mark.parametrize(
    ("more", "expected"),
    [
        ("", "not-applicable"),
        ("verdict: error", "error"),
        ("verdict: fail", "fail"),
        ("root: SITE-002", "not-applicable"),
        ("root: SITE-002, verdict: fail", "not-applicable"),
        ("root: SITE-002, verdict: error", "error"),
        ("root: SITE-002, verdict: reported", "not-applicable"),
    ],
)
def test_a_need_that_does_not_hold_decides(more, expected):
    """The clauses are not judged. With a root, the finding points to it."""
    text = f"{{needs: {{that: {{fact: name, is: x}}, otherwise: 'not {{name}}', {more}}}, threshold: {{{CPUS}, at_most: 4}}}}"
    root = made(ROOT % "machine.cpus", "host", "SITE-002")

    found = judged(text, examines="host", roots=[root])[HOST]

    assert found.verdict == expected
    assert "not sigsrv" in (found.observed, found.reason)
    assert found.because == ("SITE-002@sigsrv/sigsrv" if "root" in more else None)


def test_a_need_that_holds_decides_nothing():
    """The clauses do."""
    text = "{needs: {that: {fact: name, is_not: null}, otherwise: x}, threshold: {fact: machine.cpus, at_most: 3}}"

    assert verdict(text, examines="host", of=HOST) == "fail"


def test_a_need_counts_only_when_its_conditions_hold():
    """Otherwise the clauses decide."""
    text = "{needs: {when: {fact: name, is: %s}, that: {fact: name, is: x}, otherwise: y, verdict: error}, threshold: {fact: machine.cpus, at_most: 3}}"  # noqa: E501

    assert verdict(text % "sigsrv", examines="host", of=HOST) == "error"
    assert verdict(text % "minisrv", examines="host", of=HOST) == "fail"


def test_a_fact_without_a_value_can_be_unknown():
    """``unknown`` says why. Without it, no value is no number."""
    text = "threshold: {fact: usage.processes, at_most: 3, unknown: '{name} reports no usage'}"

    found = judged(text)[WEB]

    assert (found.verdict, found.reason) == ("error", "web reports no usage")
    assert "can't be compared" in judged("threshold: {fact: usage.processes, at_most: 3}")[WEB].reason


def test_a_violated_clause_is_left_to_a_root_only_if_that_fails():
    """If the root passes, the finding fails by itself."""
    text = f"threshold: {{{CPUS}, at_most: 3, root: SITE-002}}"
    failing, passing = made(ROOT % "machine.cpus", "host", "SITE-002"), made(ROOT % "collected", "host", "SITE-002")

    found = judged(text, examines="host", roots=[failing])[HOST]
    alone = judged(text, examines="host", roots=[passing])[HOST]

    assert (found.verdict, found.because) == ("not-applicable", "SITE-002@sigsrv/sigsrv")
    assert (alone.verdict, alone.because) == ("fail", None)


# --- joined

JOINED = """
joined:
  each: bridges
  with: {link: {in: network.links%s}}
  must: {fact: link.kind, is: bridge, text: "{entry.name} is a {link.kind}"}
"""
BRIDGE = "SITE-001@sigsrv/userbr0"


@pytest.mark.parametrize(
    ("more", "gone", "expected", "shown"),
    [
        ("", "", "pass", "userbr0 is a bridge"),
        ("", "userbr0", "fail", "there is no userbr0 in network.links"),
        (", missing: 'no link {entry.name}'", "userbr0", "fail", "no link userbr0"),
        (", missing: no link, root: SITE-002", "userbr0", "not-applicable", "no link"),
        (", at: {entry: vlan.interface}", "", "fail", "userbr0 is a vlan"),
        (", at: {entry: vlan.interface}", "user0", "fail", "there is no user0 in network.links"),
    ],
)
def test_facts_are_joined_with_an_entry_of_the_site(more, gone, expected, shown):
    """Each bridge of the site file has a finding, also one that does not exist. Another policy may report that."""
    changes = [(f"/sigsrv/links/{gone}", ...)] if gone else []
    root = made("{joined: {each: bridges, must: {fact: name, is: x}}}", "bridge", "SITE-002")

    found = judged(JOINED % more, *changes, examines="bridge", roots=[root])[BRIDGE]

    assert found.verdict == expected
    assert shown in (found.observed, found.reason)
    assert found.because == ("SITE-002@sigsrv/userbr0" if expected == "not-applicable" else None)


def test_a_list_of_records_is_joined_by_name():
    """``in`` may be a mapping, or a list of records that have names."""
    text = """
    joined:
      each: pools
      with: {pool: {in: incus.pools}}
      must: {fact: pool.driver, is: {entry: driver}}
    """
    found = judged(text, ("/cluster/pools/iso/driver", "btrfs"), examines="pool")

    assert str(found["SITE-001@sigsrv/nvme"].verdict) == "pass"
    assert found["SITE-001@sigsrv/iso"].observed == "pool.driver is btrfs"


def test_an_entry_that_does_not_concern_the_host_has_nothing_to_judge():
    """A pool may be on some hosts only."""
    text = "joined: {each: pools, with: {pool: {in: incus.pools}}, must: {fact: pool.driver, is: {entry: driver}}}"
    found = judged(text, ("/site/pools/1/members", ["minisrv"]), examines="pool")["SITE-001@sigsrv/iso"]

    assert (found.verdict, found.reason) == ("not-applicable", "the site file has this pool only on minisrv")


def test_projects_of_the_site_without_a_star_are_entries():
    """An entry with ``*`` stands for any number of projects, also for none."""
    text = "joined: {each: projects, with: {project: {in: incus.projects}}, must: {fact: entry.kind, is: system}}"

    assert set(judged(text, examines="project")) == {"SITE-001@cluster/default"}


@pytest.mark.parametrize(
    ("examines", "path", "of", "value"),
    [
        ("instance", "kind", VM, "user"),
        ("volume", "kind", "SITE-001@sigsrv/nvme/default/web-data", "system"),
        ("project", "match", "SITE-001@cluster/user-john", "*"),
        ("bridge", "vlan.id", "SITE-001@sigsrv/userbr0", 24),
        ("network", "gateway", "SITE-001@cluster/userbr0", "172.24.0.1"),
        ("pool", "driver", "SITE-001@sigsrv/iso", "dir"),
        ("acl", "min_rules", "SITE-001@cluster/default/user-isolate", 2),
        ("network", "gateway", "SITE-001@cluster/eth0", None),
        ("certificate", "name", "SITE-001@cluster/c2f6b633b1ff", None),
    ],
)
def test_each_resource_has_its_entry_of_the_site_file(examines, path, of, value):
    """An instance and a volume have that of their project. A resource without one has no value there."""
    text = yaml.safe_dump({"joined": {"must": {"fact": f"entry.{path}", "is": value}}})
    other = yaml.safe_dump({"joined": {"must": {"fact": f"entry.{path}", "is": "something else"}}})

    assert verdict(text, examines=examines, of=of) == "pass"
    assert verdict(other, examines=examines, of=of) == "fail"


def test_all_forms_of_a_policy_make_one_finding():
    """What one form finds does not hide what another one finds."""
    text = """
    keys: {must: {limits.cpu: "9"}}
    devices: {types: [disk], only: {pool: ""}}
    threshold: {fact: usage.memory_bytes, at_most: 0}
    listed: {fact: profiles, within: [default], fault: "profile {wrong}"}
    """
    usage = ("/cluster/instances/web/state", {"memory": {"usage": 5, "usage_peak": 7}, "processes": 3})
    found = judged(text, (f"{DEVICES}/x", {"type": "disk", "source": "/etc", "path": "/x"}), usage)[WEB]

    assert found.verdict == "fail"
    assert found.observed.startswith("limits.cpu is 1; x: disk /etc /x; ")
    assert found.observed.endswith("profile svc")


def test_projects_are_facts_like_any_others():
    """A made-up one: the engine asks only for attributes."""
    subject = Subject("h", "p", Project("p", {"restricted": "true"}), {})

    assert subject.look_up("config.restricted") == "true"


# --- the short way to a pass


FIRST_SIGHT = Keys(must={"a": Wanted(is_="true"), "b": Wanted(is_=""), "c.*": Wanted(is_=""), "d": Wanted(is_="1GiB")})


@pytest.mark.parametrize("a", [None, "", "true", "yes", "false", " true"])
@pytest.mark.parametrize("b", [None, "", " ", "x"])
@pytest.mark.parametrize("c", [None, "", "x"])
@pytest.mark.parametrize("d", [None, "1GiB", "1024MiB", "2GiB"])
def test_what_is_right_at_first_sight_is_right_at_a_closer_look(a, b, c, d):
    """The first look may miss what is right, but it never takes a wrong key for a right one."""
    config = {key: value for key, value in {"a": a, "b": b, "c.x": c, "d": d}.items() if value is not None}
    subject = Subject("h", "r", Thing(), {})
    keys = [(name, config.get(name, "").strip()) for name in ("a", "b", "d")] + [("c.x", config.get("c.x", "").strip())]
    wanted = {**FIRST_SIGHT.must, "c.x": FIRST_SIGHT.must["c.*"]}
    is_right_closely = all(is_right(key, value, wanted[key], subject) for key, value in keys)

    at_first_sight = Usual.of(FIRST_SIGHT)

    assert at_first_sight is not None
    assert not at_first_sight.covers(config) or is_right_closely


@pytest.mark.parametrize(
    "wanted",
    [
        Wanted(one_of=("a",)),
        Wanted(above=0),
        Wanted(is_="a", unless=(Comparison("count", is_=Value(literal=3)),)),
        Wanted(like=("*",)),
    ],
)
def test_other_wishes_need_a_closer_look(wanted):
    """A value that is not a single text can't be judged at first sight."""
    assert Usual.of(Keys(must={"a": wanted})) is None
