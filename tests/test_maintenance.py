"""Tests maintenance windows: when they are open, what the site file may say, and that a late step does not begin."""

from __future__ import annotations

import dataclasses
from datetime import UTC, datetime, timedelta

import pytest

from sigsrv.model import policy, site_file
from sigsrv.model.errors import UsageError
from sigsrv.model.maintenance import Maintenance, Window
from sigsrv.remediate import windows
from sigsrv.remediate.host_locks import Refused
from sigsrv.remediate.runs import Choice, make_plan
from sigsrv.remediate.windows import closed
from tests.run_world import two_files
from tests.test_remediate_waits import BOTH, decided

NIGHT = Window("22:00", "04:00", ("sat",))
NOON = Window("12:00", "13:00", ("tue", "thu"), ("minisrv",))
BERLIN = Maintenance("Europe/Berlin", (NIGHT, NOON))
SITE = "version: 2\nname: s\nhosts: [{name: a}, {name: b}]\n"


def utc(text: str) -> datetime:
    return datetime.fromisoformat(text).replace(tzinfo=UTC)


@pytest.mark.parametrize(
    ("when", "is_open"),
    [
        ("2026-12-05 20:59:59", False),  # Berlin is an hour ahead in winter
        ("2026-12-05 21:00:00", True),
        ("2026-12-06 02:59:59", True),  # Sunday: the window began on Saturday
        ("2026-12-06 03:00:00", False),
        ("2026-12-06 21:30:00", False),
        ("2026-07-04 20:00:00", True),  # two hours in summer
        ("2026-07-04 19:59:59", False),
        ("2026-12-01 11:30:00", False),  # the window of the other host
    ],
)
def test_window_is_open_in_local_time_and_over_midnight(when, is_open):
    assert BERLIN.is_open("sigsrv", utc(when)) is is_open


def test_host_has_its_own_windows_beside_those_for_all():
    assert BERLIN.is_open("minisrv", utc("2026-12-01 11:30:00"))
    assert BERLIN.is_open("minisrv", utc("2026-12-05 23:00:00"))


@pytest.mark.parametrize(
    ("end", "when", "is_open"),
    [
        ("24:00", "2026-12-01 23:59:59", True),
        ("24:00", "2026-12-02 00:00:00", False),
        ("08:00", "2026-12-02 07:59:00", True),  # the same time on the next day: 24 hours
        ("08:00", "2026-12-02 08:00:00", False),
    ],
)
def test_end_may_be_midnight_or_the_time_of_the_beginning(end, when, is_open):
    assert Maintenance("UTC", (Window("08:00", end, ("tue",)),)).is_open("a", utc(when)) is is_open


@pytest.mark.parametrize(
    ("host", "when", "begins"),
    [
        ("sigsrv", "2026-11-30 12:00", "2026-12-05T22:00:00+01:00"),
        ("minisrv", "2026-11-30 12:00", "2026-12-01T12:00:00+01:00"),
        ("sigsrv", "2026-12-06 12:00", "2026-12-12T22:00:00+01:00"),
        ("sigsrv", "2026-03-27 12:00", "2026-03-28T22:00:00+01:00"),
        ("sigsrv", "2026-03-30 12:00", "2026-04-04T22:00:00+02:00"),  # the clock has changed
    ],
)
def test_next_window_is_named_in_the_time_zone_of_the_site(host, when, begins):
    assert BERLIN.next_begin(host, utc(when)).isoformat() == begins


def test_refusal_names_the_host_the_next_window_and_the_option():
    (reason,) = closed(BERLIN, ["sigsrv", "minisrv", "sigsrv"], utc("2026-12-01 11:30"))

    assert reason == (
        "sigsrv is outside its maintenance windows: the next one begins Sat 2026-12-05 22:00 Europe/Berlin. "
        "To change it now: --outside-window --reason TEXT"
    )


def test_host_without_a_window_is_never_changed():
    """Others have one, so its lack is a gap or a wish. It is no licence."""
    only = Maintenance("UTC", (NOON,))

    assert "the site file has none for it" in closed(only, ["sigsrv"], utc("2026-12-01 12:30"))[0]
    assert closed(Maintenance(), ["sigsrv"], utc("2026-12-01 12:30")) == []


def load(tmp_path, text: str):
    path = tmp_path / "site.yaml"
    path.write_text(SITE + text)
    return site_file.load(path, policy.load()).maintenance


def test_site_file_says_when_and_what_a_second_person_approves(tmp_path):
    found = load(
        tmp_path,
        'maintenance: {time_zone: Europe/Berlin, windows: [{days: [sat], from: "22:00", to: "04:00", hosts: [a]}], approval: [network]}\n',
    )

    assert found == Maintenance("Europe/Berlin", (Window("22:00", "04:00", ("sat",), ("a",)),), ("network",))
    assert load(tmp_path, "") == Maintenance()
    assert load(tmp_path, "maintenance: {approval: required}\n").needs_approval({"none"})
    assert not found.needs_approval({"instance", "none"})


@pytest.mark.parametrize(
    ("text", "error"),
    [
        ('windows: [{from: "22:00", to: "04:00", hosts: [c]}]', '"c"'),
        ("time_zone: Europe/Berln", '"Europe/Berln" is not a time zone that this machine knows'),
        ("time_zone: ../../etc/passwd", "time_zone"),
        ("windows: [{from: 22:00, to: 04:00}]", 'a text needs quotes: when it begins, in quotes: "22:00"'),
        ('windows: [{from: "22:00", to: "25:00"}]', "windows"),
        ('windows: [{from: "22:00", to: "23:00", days: [saturday]}]', "saturday"),
        ("windows: []", "windows"),
        ("approval: [everything]", "approval"),
        ("approval_hours: 0", "approval_hours"),
    ],
)
def test_mistake_in_the_site_file_is_named_with_its_line(tmp_path, text, error):
    with pytest.raises(UsageError) as caught:
        load(tmp_path, f"maintenance:\n  {text}\n")

    said = f"{caught.value.message} {caught.value.hint}"
    assert error in said
    assert "site.yaml:" in said


@pytest.fixture
def world(tmp_path, monkeypatch):
    """Provide a host whose window ends in ten seconds. ``clock`` has the time."""
    with two_files(tmp_path, monkeypatch) as found:
        found.clock = [utc("2026-12-01 12:59:50")]
        monkeypatch.setattr(windows, "now", lambda: found.clock[0])
        use(found, Maintenance("UTC", (Window("12:00", "13:00"),)))
        yield found


def use(world, maintenance: Maintenance) -> None:
    world.hosts = dataclasses.replace(world.hosts, site=dataclasses.replace(world.hosts.site, maintenance=maintenance))


def test_step_that_would_begin_after_the_end_does_not_begin(world):
    """The one before has ended well and stays."""

    def decide(number, _):
        if number == 2:
            world.clock[0] += timedelta(seconds=11)
        return Choice.APPLY

    with pytest.raises(Refused, match="outside its maintenance windows"):
        decided(world, decide)

    assert (world.state(), world.end_states(), world.leftovers) == (["new", "old"], ["verified"], [])


def test_plan_and_undo_outside_of_the_windows_are_refused_unless_the_operator_says_why(world):
    """The reason is in the journal."""
    world.apply()
    run = world.journal.history()[0].id
    world.clock[0] += timedelta(hours=1)

    with pytest.raises(Refused, match="outside its maintenance windows"):
        world.undo(run)
    assert world.state() == ["new", "new"]

    world.limits = dataclasses.replace(world.limits, outside_window=True, reason="ticket 4711")
    world.undo(run)
    assert world.state() == ["old", "old"]
    assert world.journal.history()[0].reason == "outside the maintenance windows: ticket 4711"

    world.limits = dataclasses.replace(world.limits, outside_window=False)
    assert "outside its maintenance windows" in make_plan(world.hosts, BOTH, world.journal, world.limits).refusals[0]
