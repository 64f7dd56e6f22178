"""Tests the approval of a plan by a second person: what its hash covers, who counts as another person, and how long it is valid."""

from __future__ import annotations

import dataclasses
import os
import sqlite3
from datetime import UTC, datetime, timedelta

import pytest

from sigsrv.model.errors import UsageError
from sigsrv.model.maintenance import DISRUPTIONS, Maintenance
from sigsrv.model.site import Site, SiteHost
from sigsrv.model.touches import Touch
from sigsrv.remediate import persons
from sigsrv.remediate.approval import is_needed, plan_hash, valid, why_not
from sigsrv.remediate.journal import VERSION, Journal
from sigsrv.remediate.journal_rows import Approval
from sigsrv.remediate.persons import NO_LOGIN, Person, me
from sigsrv.remediate.planning import FixPlan, Step, Triage
from tests.test_remediate_journal import FAILING, FIX

NOW = datetime(2026, 12, 1, 12, tzinfo=UTC)
ALICE = Person("alice@station", 1000, 1000)
BOB = Person("bob@station", 1001, 1001)
SITE = Site("s", (SiteHost("minisrv", "minisrv"),), maintenance=Maintenance(approval=DISRUPTIONS, approval_hours=8))
TOUCH = Touch("link", "a", "master", "br0", True)
STEP = Step(FAILING, dataclasses.replace(FIX, touches=(TOUCH,)), now={("link", "a", "master"): "br1"})
PLAN = FixPlan((FAILING,), Triage(), (STEP,))
HASH = plan_hash(PLAN, 60, SITE)


def approved(by: Person = BOB, ago: timedelta = timedelta(), **changes: object) -> Approval:
    found = Approval((NOW - ago).timestamp(), HASH, "s", by.who, by.uid, by.login_uid)
    return dataclasses.replace(found, **changes)


def of(step: Step) -> FixPlan:
    return FixPlan((FAILING,), Triage(), (step,))


def changed_fix(**changes: object) -> FixPlan:
    return of(dataclasses.replace(STEP, fix=dataclasses.replace(STEP.fix, **changes)))


@pytest.mark.parametrize(
    "other",
    [
        changed_fix(script="another script"),
        changed_fix(undo="another undo"),
        changed_fix(runs_on="sigsrv"),
        changed_fix(disruption="service"),
        changed_fix(touches=(dataclasses.replace(TOUCH, after="br2"),)),
        of(dataclasses.replace(STEP, now={("link", "a", "master"): "br3"})),
        of(dataclasses.replace(STEP, others=("sigsrv",))),
        of(dataclasses.replace(STEP, finding=dataclasses.replace(FAILING, observed="something else"))),
        FixPlan((FAILING,), Triage(), (STEP, STEP)),
    ],
)
def test_plan_with_another_text_object_or_fact_has_another_hash(other):
    assert plan_hash(other, 60, SITE) != HASH


def test_hash_is_the_same_for_the_same_plan_whatever_refuses_it_now():
    """A plan may be approved before its window opens. Time and notes are no part of it."""
    assert plan_hash(dataclasses.replace(PLAN, refusals=("outside its windows",), notes={"x": "x"}), 60, SITE) == HASH
    assert plan_hash(PLAN, 60, dataclasses.replace(SITE, name="other")) != HASH
    assert plan_hash(PLAN, 90, SITE) != HASH
    assert plan_hash(PLAN, 60, dataclasses.replace(SITE, verify_with=("test.py",))) != HASH


@pytest.mark.parametrize(
    ("approval", "problem"),
    [
        (approved(), ""),
        (approved(ago=timedelta(hours=7, minutes=59)), ""),
        (approved(ago=timedelta(hours=8, minutes=1)), "is of 2026-12-01T03:59:00Z, older than 8 h"),
        (approved(ago=timedelta(hours=-1)), "is of"),  # a clock that was changed
        (approved(ALICE), "by alice@station, who may be you"),
        (approved(plan="0" * 64), "there is none of plan"),
        (approved(site="other"), "there is none of plan"),
    ],
)
def test_approval_counts_for_this_plan_by_another_person_and_for_some_hours(approval, problem):
    found = valid([approval], HASH, SITE, ALICE, NOW)

    assert (found is not None) is (problem == "")
    assert problem == "" or problem in why_not([approval], HASH, SITE, ALICE)


def test_newest_valid_approval_counts():
    """One of one's own hides no other one."""
    old, own = approved(ago=timedelta(hours=2)), approved(ALICE)

    assert valid([own, old, approved(ago=timedelta(hours=3))], HASH, SITE, ALICE, NOW) == old


@pytest.mark.parametrize(
    ("other", "is_other"),
    [
        (BOB, True),
        (Person("bob@station", 1000, 1001), False),  # the same account
        (Person("bob@station", 1001, 1000), False),  # sudo with another name in the environment: the login stays
        (Person("bob@station", 1001, NO_LOGIN), True),  # the kernel knows no login
    ],
)
def test_another_account_of_the_same_login_is_not_another_person(other, is_other):
    assert other.is_other(ALICE) is ALICE.is_other(other) is is_other


@pytest.mark.parametrize(
    ("content", "login"), [("1000", 1000), ("4294967295", NO_LOGIN), (None, NO_LOGIN), ("x", NO_LOGIN)]
)
def test_person_is_the_account_that_called_sudo_and_the_login_of_the_kernel(tmp_path, monkeypatch, content, login):
    path = tmp_path / "loginuid"
    if content is not None:
        path.write_text(content)
    monkeypatch.setattr(persons, "_LOGIN_UID", path)
    monkeypatch.setattr(os, "getuid", lambda: 0)
    monkeypatch.setenv("SUDO_USER", "bob")
    monkeypatch.setenv("SUDO_UID", "1001")

    assert (me().uid, me().login_uid, me().who.partition("@")[0]) == (1001, login, "bob")
    monkeypatch.setattr(os, "getuid", lambda: 1005)  # no root: the environment says nothing
    assert me().uid == 1005


@pytest.mark.parametrize(("wanted", "is_needed_now"), [((), False), (("network",), True), (("service",), False)])
def test_site_says_which_disruptions_need_an_approval(wanted, is_needed_now):
    """The fix of the plan may cut the network."""
    assert is_needed(PLAN, dataclasses.replace(SITE, maintenance=Maintenance(approval=wanted))) is is_needed_now


@pytest.fixture
def journal(tmp_path):
    found = Journal(tmp_path / "journal.sqlite")
    yield found
    found.close()


def test_approvals_are_journaled_newest_first(journal):
    for number in range(2):
        journal.approve(approved(ago=timedelta(hours=2 - number), reason=f"reason {number}"))

    assert [each.reason for each in journal.approvals()] == ["reason 1", "reason 0"]
    assert journal.approvals()[0] == approved(ago=timedelta(hours=1), reason="reason 1")


@pytest.mark.parametrize(
    ("column", "value"), [("uid", -1), ("login_uid", "x"), ("plan", "short"), ("who", "a\x1b[31m"), ("at", "now")]
)
def test_row_that_sigsrv_did_not_write_is_refused(journal, column, value):
    journal.approve(approved())
    with sqlite3.connect(journal.path) as database:
        database.execute(f"UPDATE approval SET {column} = ?", (value,))

    with pytest.raises(UsageError, match=f"column {column}"):
        journal.approvals()


def test_journal_without_approvals_is_migrated(tmp_path):
    path = tmp_path / "journal.sqlite"
    first = Journal(path)
    first._database.execute("DROP TABLE approval")
    first._database.execute("PRAGMA user_version = 3")
    first.close()

    second = Journal(path)
    second.approve(approved())

    assert len(second.approvals()) == 1
    assert second._database.execute("PRAGMA user_version").fetchone() == (VERSION,)
    second.close()
