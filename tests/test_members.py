"""Tests the order in which the other members of a cluster are armed, confirmed and undone."""

from __future__ import annotations

from contextlib import contextmanager
from types import SimpleNamespace

import pytest

from sigsrv.collect.evidence import Failure
from sigsrv.collect.session import ConnectionFailed
from sigsrv.collect.target import Target
from sigsrv.model.errors import FailureKind
from sigsrv.model.fix import fix_for
from sigsrv.remediate import members
from sigsrv.remediate.hosts import Hosts
from sigsrv.remediate.members import Member, OtherMembers
from sigsrv.remediate.picture import Picture
from sigsrv.remediate.shell import CommandResult
from tests.test_guard import fix
from tests.test_remediation import REMEDIATIONS, finding

OK = CommandResult(0, "", "")


def others(monkeypatch, results: dict[str, CommandResult | None], calls: list[str]) -> OtherMembers:
    """Return members that answer with these results. None: the member can't be reached."""

    @contextmanager
    def session(target: Target):
        if results[target.name] is None:
            raise ConnectionFailed(Failure(FailureKind.UNREACHABLE, "no route"))
        yield target

    monkeypatch.setattr(members, "open_session", session)

    def answers(what: str):
        def call(target: Target, *_: object) -> CommandResult | None:
            calls.append(f"{what} {target.name}")
            return results[target.name]

        return call

    remote = SimpleNamespace(arm=answers("arm"), confirm=answers("confirm"), undo=answers("undo"))
    return OtherMembers({name: Member(Target(name), remote) for name in results}, print)


@pytest.mark.parametrize("what", ["arm", "confirm"])
def test_first_member_that_fails_is_named_and_ends_it(monkeypatch, what):
    calls: list[str] = []
    found = others(monkeypatch, {"a": OK, "b": CommandResult(1, "", "disk full"), "c": OK}, calls)

    problem = found.arm("") if what == "arm" else found.confirm()

    assert "b" in problem
    assert "disk full" in problem
    assert calls == [f"{what} a", f"{what} b"]


@pytest.mark.parametrize("what", ["arm", "confirm"])
def test_member_that_can_not_be_reached_is_a_problem(monkeypatch, what):
    found = others(monkeypatch, {"a": None}, [])

    assert "a can't be reached" in (found.arm("") if what == "arm" else found.confirm())


def test_undo_goes_on_with_the_other_members(monkeypatch):
    """One that can't be reached undoes by itself; the others need not wait for its timer."""
    calls: list[str] = []
    found = others(monkeypatch, {"a": None, "b": CommandResult(1, "", "disk full"), "c": OK}, calls)

    assert found.undo() == "a can't be reached: no route; b: disk full"
    assert calls == ["undo b", "undo c"]


def test_all_members_that_answer_are_no_problem(monkeypatch):
    found = others(monkeypatch, {"a": OK, "b": OK}, [])

    assert (found.arm(""), found.confirm(), found.undo(), bool(found)) == ("", "", "", True)


def test_host_in_no_cluster_is_not_reached_through_the_cluster():
    """It may have a network of the same name. A member whose daemon does not answer is still a member."""
    pictures = {
        "a": Picture(member="a"),
        "b": Picture(unread={"server": "no answer"}),
        "c": Picture(unread={"host": "no route"}),
        "alone": Picture(),
    }
    hosts = Hosts(None, {name: Target(name) for name in pictures}, {}, None, lambda _: pictures)

    assert hosts.reached(fix(runs_on="b", reaches="members")) == ("b", "a", "c")
    assert hosts.reached(fix(runs_on="b")) == ("b",)


def test_fix_of_one_host_reaches_no_member():
    """A standalone host has the findings of its own Incus, and a member those of its own links."""
    values = {"host": "minisrv", "resource": "br0"}
    found = fix_for(finding("attach-acls", **values), REMEDIATIONS, "sigsrv")
    of_cluster = fix_for(finding("attach-acls", **{**values, "host": "cluster"}), REMEDIATIONS, "sigsrv")

    assert found
    assert of_cluster
    assert (found.reaches, of_cluster.reaches) == ("host", "members")
