"""Tests maintenance windows and the approval of a second person on the lab, as two persons use them who share root's journal by sudo."""

from __future__ import annotations

import json
import os
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from subprocess import CompletedProcess
from typing import Any

import pytest

from sigsrv.model.maintenance import DAYS
from tests.e2e import operator
from tests.e2e.conftest import Lab
from tests.e2e.operator import clean_in_the_end, nothing_left, one_line
from tests.e2e.safety import options
from tests.e2e.test_fixes_instances import incus

pytestmark = [
    pytest.mark.lab,
    pytest.mark.skipif(os.getuid() != 0, reason="only root acts for the account that called sudo"),
]

__all__ = ["clean_in_the_end", "nothing_left"]

FINDING = "INST-006@sigsrv/default/svc-a"
ALICE, BOB = 1001, 1002
ALWAYS = {"from": "00:00", "to": "24:00"}
DO_NOT_WAIT = ("--outside-window", "--reason", "ticket 4711")


class Persons(operator.Operator):
    """Runs sigsrv-remediate as sudo does for two persons."""

    def declare(self, **maintenance: Any) -> None:
        self.use(self.site() | {"version": 2, "maintenance": maintenance})

    def run(self, uid: int, *argv: str) -> CompletedProcess[str]:
        files = ("--site", str(self._site), "--journal", str(self._folder / "journal.sqlite"))
        who = (f"SUDO_UID={uid}", f"SUDO_USER={'alice' if uid == ALICE else 'bob'}")
        return self._lab.command("env", *who, "sigsrv-remediate", *files, *options(self._lab), *argv)

    def plan(self) -> dict[str, Any]:
        found: dict[str, Any] = json.loads(self.run(ALICE, FINDING, "--plan", "--json").stdout)
        return found

    def refused(self, uid: int, *argv: str) -> str:
        """Return the output of a run that must be refused, in one line."""
        done = self.run(uid, *argv)
        assert done.returncode == 1, done.stdout + done.stderr
        return one_line(done)

    def does(self, uid: int, *argv: str) -> str:
        """Return the output of a run that must succeed, in one line."""
        done = self.run(uid, *argv)
        assert done.returncode == 0, done.stdout + done.stderr
        return one_line(done)


@pytest.fixture
def persons(lab: Lab, tmp_path: Path) -> Iterator[Persons]:
    """Provide the persons, and the fault."""
    lab.fault("unlimited", "sigsrv")
    yield Persons(lab, tmp_path)
    lab.command(*lab.program, "exec", "sigsrv", "incus", "config", "unset", "svc-a", "limits.processes")  # if it is set
    lab.fault("unlimited", "sigsrv", heal=True)


def limit(lab: Lab) -> str:
    return incus(lab, "config", "get", "svc-a", "limits.processes")


def closed_now() -> dict[str, Any]:
    """Return a window that begins in two days."""
    day = datetime.now(UTC) + timedelta(days=2)
    return {"days": [DAYS[day.weekday()]], "from": "10:00", "to": "11:00"}


def test_outside_of_the_window_only_a_reason_opens_the_way(lab: Lab, persons: Persons):
    """The undo waits for a window too. In a window nothing else is asked."""
    persons.declare(windows=[closed_now()], time_zone="Europe/Berlin")
    assert "sigsrv is outside its maintenance windows: the next one begins" in persons.refused(ALICE, FINDING, "--yes")
    assert "outside its maintenance windows" in persons.plan()["refused"][0]
    assert limit(lab) == ""

    run = persons.does(ALICE, FINDING, "--yes", *DO_NOT_WAIT).rpartition(" ")[2]
    assert limit(lab) == "2000"
    assert "outside its maintenance windows" in persons.refused(ALICE, "--undo", run, "--yes")
    assert limit(lab) == "2000"

    persons.declare(windows=[closed_now(), ALWAYS | {"hosts": ["sigsrv"]}])
    persons.does(ALICE, "--undo", run, "--yes")
    assert limit(lab) == ""
    assert "outside the maintenance windows: ticket 4711" in persons.does(ALICE, "--history")


def test_plan_runs_only_after_another_person_has_approved_it(lab: Lab, persons: Persons):
    """One's own approval does not count, nor that of another plan. The journal has both persons."""
    persons.declare(approval="required")
    plan = persons.plan()
    assert plan["approval"] == {"needed": True, "given": None}
    hashed = plan["plan_sha256"]
    output = persons.refused(ALICE, FINDING, "--yes")
    assert f"{FINDING} --approve {hashed}" in output

    persons.does(ALICE, FINDING, "--approve", hashed, "--yes")
    assert "who may be you" in persons.refused(ALICE, FINDING, "--yes")
    assert f"it has the hash {hashed}" in persons.refused(BOB, FINDING, "--approve", "0" * 64, "--yes")
    assert limit(lab) == ""

    persons.does(BOB, FINDING, "--approve", hashed, "--yes", "--reason", "read it")
    run = persons.does(ALICE, FINDING, "--yes", "--reason", "ticket 4711").rpartition(" ")[2]
    assert limit(lab) == "2000"
    history = persons.does(ALICE, "--history")
    assert f"plan {hashed[:16]} approved by bob@" in history
    assert "reason: read it" in history
    persons.does(ALICE, "--undo", run, "--yes")


def test_plan_that_changed_since_needs_a_new_approval(lab: Lab, persons: Persons):
    """Somebody set the limit to another wrong value: the fix would replace that now."""
    persons.declare(approval=["instance"], approval_hours=0.5)
    persons.does(BOB, FINDING, "--approve", persons.plan()["plan_sha256"], "--yes")
    assert persons.plan()["approval"]["given"]["by"].startswith("bob@")

    incus(lab, "config", "set", "svc-a", "limits.processes=0")

    assert "there is none of plan" in persons.refused(ALICE, FINDING, "--yes")
    assert limit(lab) == "0"


def test_plan_that_disrupts_nothing_of_the_list_needs_no_approval(lab: Lab, persons: Persons):
    persons.declare(approval=["network", "service"], windows=[ALWAYS])

    run = persons.does(ALICE, FINDING, "--yes").rpartition(" ")[2]

    assert limit(lab) == "2000"
    persons.does(ALICE, "--undo", run, "--yes")
