"""Tests that each pass of the demo and of the clean labs stands on evidence, and the command that shows it.

With ``--every-knockout``, each part of each answer of the demo is damaged, and a share of those of the labs; this takes minutes.
"""

from __future__ import annotations

import dataclasses
from functools import cache

import pytest

from sigsrv.authoring import damage, knockout
from sigsrv.authoring.knockout import Scene, knock_out
from sigsrv.collect import evidence, urls
from sigsrv.collect.evidence import Answer, ApiAnswer, Failure
from sigsrv.judge import catalogue
from sigsrv.judge.require import Require
from sigsrv.model import data, site_file
from sigsrv.model.errors import FailureKind
from sigsrv.model.forms import Forms
from tests.called import sigsrv
from tests.record import EVIDENCE

CATALOGUE = catalogue.load()
EVERY = {"demo": 1, "ns": 6, "vm": 6}  # with --every-knockout, one in so many parts is damaged
FOLDERS = {"demo": data.DEMO / "evidence", "ns": EVIDENCE / "ns", "vm": EVIDENCE / "vm"}
POLICY = """\
id: SITE-001
title: Host has CPUs
severity: low
why: This one never fails.
examines: host
by_hand: Add a CPU to the host, and start it again.
controls: {nist-800-53r5: [CM-6], cis-v8: []}
source: [getconf(1)]
examples:
  compliant: [{name: more CPUs, change: [{op: replace, path: /minisrv/probes/cpus, value: "9"}], expect: {}}]
  violating: [{name: more CPUs, change: [{op: replace, path: /minisrv/probes/cpus, value: "9"}], expect: {}}]
"""


@cache
def scene(name: str) -> Scene:
    folder = FOLDERS[name]
    site = site_file.load((data.DEMO if name == "demo" else folder) / "site.yaml", CATALOGUE.policies)
    kept = evidence.load(folder)
    return Scene(name, site, {host.name: kept[host.name] for host in site.hosts})


@pytest.mark.parametrize("name", FOLDERS)
@pytest.mark.parametrize("policy_id", CATALOGUE.policies)
def test_every_pass_stands_on_evidence(policy_id, name, pytestconfig):
    """Damaged evidence knocks out each pass, and never breaks a check."""
    every = EVERY[name] if pytestconfig.getoption("--every-knockout") else 0

    found = knock_out(CATALOGUE.policies[policy_id], CATALOGUE, scene(name), every)

    assert (found.survivors, found.broken) == ((), [])
    assert found.tried or not found.passes


def result_of(policy_id, check):
    """Return what the knock-outs of a policy with another check show on the demo."""
    policy = dataclasses.replace(CATALOGUE.policies[policy_id], rule=None, forms=Forms())
    changed = dataclasses.replace(CATALOGUE, checks={**CATALOGUE.checks, policy_id: check})
    return knock_out(policy, changed, scene("demo"))


def test_a_pass_without_evidence_is_a_survivor():
    """The check reads the ports of the bridges, and does not use them."""

    def check(facts, site, require: Require) -> None:
        _ = facts.network.links
        require("userbr0", True, expected="a", observed="b")

    found = result_of("NET-002", check)
    assert found.survivors == ()  # without the answer, the links can't be read

    def careless(facts, site, require: Require) -> None:
        _ = facts.evidence.probes.get("link")
        require("userbr0", True, expected="a", observed="b")

    found = result_of("NET-002", careless)
    assert found.survivors == ("NET-002@minisrv/userbr0", "NET-002@sigsrv/userbr0")
    assert ("NET-002@sigsrv/userbr0", "link") in found.unmoved


@pytest.mark.parametrize("gone", ["pass", "not-applicable", "no finding"])
def test_a_pass_that_only_needs_an_answer_is_a_survivor(gone):
    """It falls without the answer, but no part of the answer matters. ``not-applicable`` and no finding at all are not enough."""

    def check(facts, site, require: Require) -> None:
        answer = facts.evidence.probes.get("cpus")
        if answer is None:
            require.unknown("a", "no answer")
        elif answer.stdout.strip().isdigit() or gone == "pass":
            require("a", True, expected="a", observed="b")
        elif gone == "not-applicable":
            require.not_applicable("a", "nothing here")
        require("b", False, expected="a", observed="b")

    found = result_of("HOST-005", check)

    assert found.survivors == ("HOST-005@minisrv/a", "HOST-005@sigsrv/a")
    assert (("HOST-005@sigsrv/a", "cpus", "empty") in found.accepted) is (gone == "pass")


def test_a_pass_that_no_whole_answer_knocks_out_is_a_survivor():
    """This one falls if a link is missing, but not if there is no answer."""

    def check(facts, site, require: Require) -> None:
        answer = facts.evidence.probes.get("link")
        whole = scene("demo").evidences[facts.name].probes["link"].stdout
        one_less = answer and len(answer.stdout) not in (0, len(whole), len(whole) // 2)
        require("a", not one_less, expected="a", observed="b")

    found = result_of("NET-002", check)

    assert found.survivors == ("NET-002@minisrv/a", "NET-002@sigsrv/a")


def test_a_check_that_breaks_on_damaged_evidence_is_reported():
    """The report has the damage and the error."""

    def check(facts, site, require: Require) -> None:
        require("a", int(facts.evidence.probes["cpus"].stdout) > 0, expected="a", observed="b")

    found = result_of("HOST-005", check)

    assert found.survivors == ()
    assert "cpus: empty: HOST-005@sigsrv/sigsrv: the check broke: ValueError: invalid literal" in "\n".join(
        found.broken
    )


def test_an_error_outside_a_check_is_reported(monkeypatch):
    """It would be a traceback of the scan."""

    def broken(*_):
        raise RuntimeError("a bug")

    monkeypatch.setattr(knockout, "evaluate_one", broken)

    found = knock_out(CATALOGUE.policies["NET-001"], CATALOGUE, scene("demo"))

    assert found.broken == ["evidence without damage: RuntimeError: a bug"]


def test_every_damages_parts_after_each_pass_has_fallen():
    """A share of the parts damages fewer of them, and finds the same survivors."""
    policy = CATALOGUE.policies["NET-001"]

    few, share, every = (knock_out(policy, CATALOGUE, scene("ns"), number) for number in (0, 20, 1))

    assert few.tried < share.tried < every.tried / 10
    assert few.survivors == share.survivors == every.survivors == ()


def test_parts_of_json_are_removed_unreadable_and_of_another_type():
    """The nodes near the root come first. The answer itself stays as it is."""
    answer = ApiAnswer(200, [{"name": "a", "size": 1}, {}])

    found = {label: make().metadata for label, make in damage.parts_of(answer)}

    assert found == {
        "0 removed": [{}],
        "0 of another type": ["?", {}],
        "1 removed": [{"name": "a", "size": 1}],
        "1 of another type": [{"name": "a", "size": 1}, "?"],
        "0/name removed": [{"size": 1}, {}],
        "0/name unreadable": [{"name": "?", "size": 1}, {}],
        "0/name of another type": [{"name": 7, "size": 1}, {}],
        "0/size removed": [{"name": "a"}, {}],
        "0/size of another type": [{"name": "a", "size": "?"}, {}],
    }
    assert next(iter(found)) == "0 removed"
    assert answer.metadata == [{"name": "a", "size": 1}, {}]


def test_parts_of_text_are_its_lines():
    """JSON in an output has the parts of JSON. A failed answer has none."""
    text, json = Answer("date", 0, "a=1\nb\n"), Answer("ip", 0, '{"a": 1}')

    assert {label: make().stdout for label, make in damage.parts_of(text)} == {
        "line 1 removed": "b\n",
        "line 1 unreadable": "?=?\nb\n",
        "line 2 removed": "a=1\n",
        "line 2 unreadable": "a=1\n?\n",
    }
    assert [make().stdout for _, make in damage.parts_of(json)] == ["{}", '{"a": "?"}']
    assert list(damage.parts_of(Answer("ip", failure=Failure(FailureKind.TIMEOUT, "slow")))) == []


def test_whole_answers_are_damaged_in_five_ways():
    """A damage that does not change the answer is not tried."""
    text, rows = Answer("date", 0, "12\n34\n"), ApiAnswer(200, [{"a": "b"}])
    cut = damage.WHOLE["cut"](rows)

    assert {name: make(text) for name, make in damage.WHOLE.items()} == {
        "absent": None,
        "corrupt": Answer("date", 0, "??\n??\n"),
        "empty": Answer("date", 0, ""),
        "cut": Answer("date", 0, "12\n"),
        "failed": Answer("date", 1, "12\n34\n"),
    }
    assert damage.WHOLE["corrupt"](rows) == ApiAnswer(200, [{"a": "?"}])
    assert damage.WHOLE["empty"](rows) == ApiAnswer(200, [])
    assert damage.WHOLE["failed"](rows) == rows
    assert cut is not None
    assert cut.failure


def test_the_command_prints_a_row_for_each_policy_and_every_survivor(tmp_path):
    """A policy that no evidence supports gives exit status 1."""
    family = tmp_path / "site"
    (tmp_path / "checks").mkdir()
    family.mkdir()
    (family / "SITE-001.yaml").write_text(POLICY)
    (tmp_path / "checks" / "test_site.py").write_text(
        "from sigsrv import policy\n\n\n@policy('SITE-001')\ndef test_it(facts, site, require):\n"
        "    facts.evidence.probes.get('cpus')\n    require(facts.name, True, expected='a', observed='b')\n"
    )

    done = sigsrv("policies", "knockout", "--policies", str(tmp_path), "SITE-001", "NET-001", "-v")

    lines = done.stdout.splitlines()
    assert done.returncode == 1, done.stderr
    assert lines[0].split() == ["policy", "passes", "knock-outs", "survivors", "unmoved", "accepted"]
    assert [line.split()[0] for line in lines[1:3]] == ["NET-001", "SITE-001"]
    assert "survivor: SITE-001@sigsrv/sigsrv [demo]" in lines
    assert "unmoved: SITE-001@sigsrv/sigsrv: without cpus [demo]" in lines
    assert ": 2 survivors, 0 internal errors (" in lines[-1]


def test_the_command_finds_the_site_file_beside_the_evidence(tmp_path):
    """Several folders give one table. Exit status 3: nothing passes there."""
    both = [word for name in ("ns", "vm") for word in ("--evidence", str(FOLDERS[name]))]

    done = sigsrv("policies", "knockout", "net-001", *both, cwd=tmp_path)
    nothing = sigsrv("policies", "knockout", "xhost-004", "--evidence", str(FOLDERS["ns"]), cwd=tmp_path)
    wrong = sigsrv("policies", "knockout", "--evidence", str(tmp_path), "--site", str(FOLDERS["ns"] / "site.yaml"))

    assert (done.returncode, done.stdout.splitlines()[1].split()[:2]) == (0, ["NET-001", "12"])
    assert nothing.returncode == 3
    assert (wrong.returncode, wrong.stdout) == (2, "")
    assert "evidence.json: no such file" in wrong.stderr


def test_guards_of_every_answer_are_left_out():
    """Every fact of Incus reads the server and its warnings first. They must not stand for the answers that a policy is about."""

    def places(policy_id):
        return set(knockout._KnockOut(CATALOGUE.policies[policy_id], CATALOGUE, scene("demo"))._declared())

    assert urls.NETWORKS in places("NET-004")
    assert not {urls.SERVER, urls.WARNINGS} & places("NET-004")
    assert urls.SERVER in places("AUTH-005") & places("CLUS-005")
