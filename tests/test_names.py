"""Tests that a name that neither Incus nor the kernel gives is an error of its own resource, and reaches no script."""

from __future__ import annotations

import dataclasses
from typing import Any

import pytest

from sigsrv.collect import evidence
from sigsrv.collect.evidence import Evidence
from sigsrv.model import data
from sigsrv.model.errors import UsageError
from sigsrv.model.finding import Verdict
from sigsrv.model.fix import fix_for
from sigsrv.model.names import bad_character, device_refusal, refusal
from sigsrv.report import publish
from sigsrv.scan import scan
from sigsrv.scan.options import Options
from sigsrv.scan.plan import prepare
from tests.test_remediation import REMEDIATIONS, VALUES, finding


@pytest.mark.parametrize(
    ("kind", "resource"),
    [
        ("instance", "default/web"),
        ("instance", "default/4web-1"),
        ("instance", f"default/{'a' * 63}"),
        ("acl", "user-john/mgmt-base"),
        ("project", "user-john"),
        ("project", "büro$(x)"),  # versions before 6.1 accepted it
        ("pool", "my pool"),
        ("volume", "my pool/user-john/data_1 (old)"),
        ("network", "incusbr0"),
        ("network", "an-ovn-network_with.a-long-name"),
        ("bridge", "br-lan.100_x"),
        ("bridge", "a"),
        ("bridge", "$(reboot)"),  # the kernel accepts it
        ("member", "server_1.example.org"),
        ("image", "default/0123456789ab"),
        ("host", "anything: it's no name of Incus \u202e"),
        ("filesystem", "/mnt/my disk"),
    ],
)
def test_a_name_that_some_version_of_incus_gives_is_accepted(kind, resource):
    """Newer versions refuse more names, but they keep the old ones."""
    assert refusal(kind, resource) == ""


@pytest.mark.parametrize(
    ("kind", "resource"),
    [
        ("instance", "default/web_1"),
        ("instance", "default/-web"),
        ("instance", "default/web-"),
        ("instance", "default/1234"),
        ("instance", f"default/{'a' * 64}"),
        ("instance", "default/web/snap"),
        ("instance", "default/wéb"),
        ("instance", "a_b/web"),
        ("acl", "default/my acl"),
        ("project", "a b"),
        ("project", "it's"),
        ("project", "*"),
        ("project", ".."),
        ("project", "a/b"),
        ("pool", "."),
        ("volume", "nvme/default"),
        ("network", "a:b"),
        ("network", "a?b"),
        ("bridge", "br 0"),
        ("bridge", "a" * 16),
        ("bridge", "ü" * 8),
    ],
)
def test_a_name_that_every_version_of_incus_refuses_is_refused(kind, resource):
    """Only something hostile or broken gives it."""
    assert refusal(kind, resource) == f"its name is none that a {kind} can have"


@pytest.mark.parametrize("character", ["\0", "\n", "\t", "\x1b", "\x7f", "\x9b", "\ufffd"])
@pytest.mark.parametrize("kind", ["instance", "pool", "network", "bridge", "filesystem", "host", "warning"])
def test_no_name_has_a_control_character_or_half_a_character(kind, character):
    """Whatever kind it is of: a shell drops NUL, and no file can contain half a character."""
    assert f"the character U+{ord(character):04X}" in refusal(kind, f"default/web{character}")
    assert f"the character U+{ord(character):04X}" in device_refusal(f"eth0{character}")


def test_other_text_has_no_bad_character():
    """Invisible characters that a person may have typed are shown as escapes, and are no reason for an error."""
    assert bad_character("Büro 日本 \u202e\u200b\U0001f600\u00a0") == ""


def renamed(value: Any, old: str, new: str) -> Any:
    """Return JSON in which a text, also one that is a key, is another one."""
    if isinstance(value, dict):
        return {new if key == old else key: renamed(item, old, new) for key, item in value.items()}
    if isinstance(value, list):
        return [renamed(item, old, new) for item in value]
    return new if value == old else value


def judged(folder, old: str = "", new: str = ""):
    """Return the findings by id, and the fixes, of the demo's evidence in which all daemons have another name for something."""
    saved = evidence.load(data.DEMO / "evidence")
    changed = {host: rename(seen, old, new) for host, seen in saved.items()} if old else saved
    evidence.save(folder, "run", changed)
    run, _ = scan.scan(prepare(Options(site=str(data.DEMO / "site.yaml"), evidence=str(folder))))
    return {each.id: each for each in run.findings}, publish.fixes_of(run)


def rename(seen: Evidence, old: str, new: str) -> Evidence:
    api = {url: dataclasses.replace(each, metadata=renamed(each.metadata, old, new)) for url, each in seen.api.items()}
    return dataclasses.replace(seen, api=api)


@pytest.mark.parametrize("suffix", ["\0", "\x1b[2J", "\ud800", "_1"])
def test_an_odd_name_of_an_instance_is_an_error_of_that_instance_only(tmp_path, suffix):
    """The other instances have the verdicts that they had."""
    before, _ = judged(tmp_path / "before")

    after, fixes = judged(tmp_path / "after", "svc-a", f"svc-a{suffix}")

    odd = [each for each in after.values() if each.resource == f"default/svc-a{suffix}"]
    assert {each.verdict for each in odd} == {Verdict.ERROR}
    assert {each.policy for each in odd} >= {"INST-001", "INST-002", "INST-004"}
    assert all("its name " in each.reason for each in odd)
    others = {name for name in before if name.startswith("INST-") and "svc-a" not in name and "@cluster/" not in name}
    assert {name: after[name].verdict for name in others} == {name: before[name].verdict for name in others}
    assert not any(suffix in fix.script + fix.undo for fix in fixes.values())
    assert all(len(fix.sha256) == 64 for fix in fixes.values())


@pytest.mark.parametrize("name", ["default", "sigsrvbr0", "nvme", "sigsrv0", "svc-b", "door", "disk"])
@pytest.mark.parametrize("suffix", ["\0", "\x9b", "\ud800"])
def test_no_odd_name_is_judged_or_reaches_a_script(tmp_path, name, suffix):
    """Whatever it is the name of: a project, a network, a pool, a bridge, an instance or a device."""
    found, fixes = judged(tmp_path / "e", name, name + suffix)

    assert {each.verdict for each in found.values() if suffix in each.resource} <= {Verdict.ERROR}
    assert not any("the check broke" in each.reason for each in found.values())
    for fix in fixes.values():
        assert suffix not in "".join((fix.script, fix.undo, *fix.permanent.values(), *fix.words))


@pytest.mark.parametrize("value", ["a\0", {"a\x1b": "b"}, ["a", "b\ud800"]])
def test_value_that_no_shell_gets_unchanged_makes_no_script(value):
    """A shell drops NUL, so the script would change another object."""
    key = next(iter(REMEDIATIONS["attach-vlan"].parameters))

    with pytest.raises(UsageError, match=r"a value for remediation attach-vlan has the character U\+"):
        fix_for(finding("attach-vlan", {**VALUES, key: value}), REMEDIATIONS, "sigsrv")


def test_hash_of_a_script_never_fails():
    """An old journal may have any script."""
    fix = fix_for(finding("attach-vlan"), REMEDIATIONS, "sigsrv")
    assert fix

    assert len(dataclasses.replace(fix, script="echo \ud800").sha256) == 64


def test_a_name_that_no_project_has_is_an_error_of_that_project(tmp_path):
    """The rules of a kind apply to the resources of the kind: a policy may have findings on others, as PROJ-006 on projects."""
    found, _ = judged(tmp_path / "e", "restricted", "re_stricted")

    odd = [each for each in found.values() if each.resource == "re_stricted" and each.policy == "PROJ-001"]
    assert [(each.verdict, each.reason) for each in odd] == [
        (Verdict.ERROR, "its name is none that a project can have")
    ]
    assert found["PROJ-001@cluster/user-alice"].verdict is not Verdict.ERROR
