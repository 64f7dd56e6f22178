"""What sigsrv-remediate takes and shows, without any host."""

from __future__ import annotations

import dataclasses
import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from sigsrv.commands import remediate, remediate_show
from sigsrv.remediate.arming import RollbackTimer
from sigsrv.remediate.host_locks import Refused
from sigsrv.remediate.journal import Journal
from sigsrv.remediate.planning import FixPlan, FixRequest, Step, triage_findings
from sigsrv.remediate.runs import StepResult
from sigsrv.remediate.transaction import EndState, Outcome
from tests.test_remediate_journal import FAILING, FIX, verified
from tests.test_remediation import REMEDIATIONS

SITE = "src/sigsrv/demo/site.yaml"


@pytest.mark.parametrize(
    ("argv", "result"),
    [
        (["NET-001", "--all"], "findings, --all and --from exclude each other"),
        (["NET-001@a/b", "--severity", "high"], "--severity: NET-001@a/b is named itself"),
        (["--all", "--undo", "x"], "findings to be put right, --undo and --history exclude each other"),
        (["--undo", "x", "--history"], "--undo and --history exclude each other"),
        (["--json"], "--json is for a plan"),
        (["--all", "--json"], "--json is for a plan"),
        (["--all", "--confirm-timeout", "1"], "--confirm-timeout: 1 s is not between 4 and 3600"),
        (["--all", "--confirm-timeout", "4000"], "--confirm-timeout: 4000 s is not between 4 and 3600"),
        (["--all", "--confirm-timeout", "nan"], "--confirm-timeout: nan s is not between"),
        (["--all", "--max", "0"], "--max: 0 lets nothing change"),
        (["--from", "/nowhere/findings.json"], "--from: /nowhere/findings.json: No such file or directory"),
        (["--from", "README.md"], "--from: README.md: not JSON"),
        (["--from", "policies/schema/site.schema.json"], "not the findings of a run"),
        (["NET-100", "--site", SITE], "NET-100: there is no policy NET-100"),
        (["--undo", "x", "--site", SITE], "has no run x"),
        (["--all", "--site", SITE, "--journal", "/proc/nowhere/j"], "the journal can't be written"),
    ],
)
def test_wrong_use_is_told_in_one_line(capsys, argv, result):
    """What is wrong, where, and what is right; nothing was looked at."""
    status = remediate.main(argv)

    told = capsys.readouterr()
    assert status == 2
    assert result in told.err
    assert "Traceback" not in told.err
    assert told.out == ""


def test_a_history_of_nothing_makes_no_journal(capsys, tmp_path):
    """Looking changes nothing."""
    assert remediate.main(["--history", "--journal", str(tmp_path / "j")]) == 0

    assert capsys.readouterr().out == f"{tmp_path}/j: nothing was applied yet\n"
    assert not (tmp_path / "j").exists()


def test_the_history_tells_who_applied_what_when_and_how_it_ended(capsys, tmp_path, monkeypatch):
    """The newest first; what was undone says by which run, what failed why, what was broken off what becomes of it."""
    monkeypatch.setattr("sigsrv.remediate.journal.time.time", lambda: 1_800_000_000.0)
    monkeypatch.setattr("sigsrv.remediate.journal.who", lambda: "alice@ws")
    journal = Journal(tmp_path / "j")
    journal.begin("run1", "lab")
    verified(journal, "t1")
    journal.open_step("t2", FIX, [FAILING])
    journal.write("t2", FIX, "undone", "it makes others worse: NET-004@minisrv/br0 fail\x1b[31m")
    monkeypatch.setattr("sigsrv.remediate.journal.time.time", lambda: 1_800_000_060.0)
    journal.begin("run2", "lab", "run1")
    verified(journal, "u1", undoes="t1")
    journal.open_step("t3", FIX, [FAILING])
    journal._database.execute("UPDATE run SET pid = 0")
    journal.close()

    assert remediate.main(["--history", "--journal", str(tmp_path / "j")]) == 0

    hash16 = FIX.sha256[:16]
    assert (
        capsys.readouterr().out
        == f"""\
run2 of lab, 2027-01-15 08:01:00 UTC, alice@ws
  undoes run1
  verified: NET-001@minisrv/br0
    attach-vlan on minisrv, script sha256 {hash16}
  broken off: NET-001@minisrv/br0
    attach-vlan on minisrv, script sha256 {hash16}
    the host undoes it by itself unless it was confirmed; the next run sees to
    it

run1 of lab, 2027-01-15 08:00:00 UTC, alice@ws
  verified, undone by run2: NET-001@minisrv/br0
    attach-vlan on minisrv, script sha256 {hash16}
  undone: NET-001@minisrv/br0
    attach-vlan on minisrv, script sha256 {hash16}
    it makes others worse: NET-004@minisrv/br0 fail\\x1b[31m
"""
    )


def shown(capsys, *steps: Step, whole: bool = False) -> str:
    remediate_show.fix_plan(FixPlan((), triage_findings(FixRequest(), [], lambda _: None), steps), 60, whole)
    return capsys.readouterr().out


def test_a_step_is_shown_whole_at_the_width_of_a_terminal(capsys):
    """Now, then, what it does, disrupts, how it is undone and by whom, the script filled in, the permanent fix."""
    text = shown(capsys, Step(FAILING, FIX, RollbackTimer.UNIT, canary=True), Step(FAILING, FIX), whole=True)

    assert text.startswith("step 1 of 2\nNET-001@minisrv/br0: t\n  now:")
    for part in (
        "\n  then:",
        "\n  does:     Attach the VLAN interface to its bridge, on minisrv\n",
        "\n  canary:   minisrv goes first; other hosts get it only where it is verified\n            there\n",
        "\n  disrupts: may cut the network of minisrv. ",
        "\n  undo:     ",
        "\n  safety:   the host undoes it by itself within 60 s unless a new login confirms\n"
        "            it, or at its next boot\n",
        "\nscript:\n  | #!/bin/sh\n",
        "\n  | bridge=br0\n",
        "\nundo:\n  | #!/bin/sh\n",
        "\npermanent fix (OpenTofu), so that it lasts:\n",
        "\nstep 2 of 2\n",
    ):
        assert part in text
    assert max(len(line) for line in text.splitlines() if not line.startswith("  | ")) <= 80


@pytest.mark.parametrize(
    ("disruption", "words"),
    [
        ("none", "nothing. "),
        ("instance", "may restart an instance, or take something from it. "),
        ("service", "restarts a service on minisrv. "),
        ("network", "may cut the network of minisrv. "),
    ],
)
def test_what_it_disrupts_is_said_first_in_a_few_words(capsys, disruption, words):
    """And then in a sentence."""
    text = shown(capsys, Step(FAILING, dataclasses.replace(FIX, disruption=disruption)))

    assert f"disrupts: {words}" in text


def test_where_nothing_fails_that_is_said(capsys):
    """Silence would be taken for an answer."""
    remediate_show.triage(triage_findings(FixRequest(all=True), [], lambda _: None), (), {}, True)

    assert capsys.readouterr().out == "nothing is to be done: nothing of it fails\n"


def test_each_disruption_has_its_words():
    """None of the schema's is left out."""
    schema = json.loads(Path("policies/schema/remediation.schema.json").read_text(encoding="utf-8"))

    assert set(remediate_show.DISRUPTIONS) == set(schema["properties"]["disruption"]["enum"])
    assert {each.disruption for each in REMEDIATIONS.values()} <= set(remediate_show.DISRUPTIONS)


ENDINGS = [
    (EndState.VERIFIED, 0, "1 verified; to undo: sigsrv-remediate --undo RUN\n", ""),
    (EndState.UNDONE, 4, "", "not put right: why\nsigsrv-remediate: undone, it is as it was before\n"),
    (EndState.REFUSED, 4, "", "undone, it is as it was before\n"),
    (EndState.UNKNOWN, 4, "", "NOT KNOWN TO BE UNDONE, look at the host\n"),
]


@pytest.mark.parametrize(("end_state", "status", "out", "err"), ENDINGS)
def test_how_a_step_ended_is_told_and_is_the_exit_status(capsys, end_state, status, out, err):
    """Verified is 0; whatever did not stay is 4."""
    done = [StepResult(Step(FAILING, FIX), Outcome(end_state, "why"))]

    assert remediate._take(done, 1, "RUN") == status

    told = capsys.readouterr()
    assert out in told.out
    assert err in told.err


def test_after_a_step_that_failed_none_is_taken(capsys):
    """What was verified before stays, and the run that undoes it is named."""
    step = Step(FAILING, FIX)
    rows = [StepResult(step, Outcome(EndState.VERIFIED, "a")), StepResult(step, Outcome(EndState.UNDONE, "b"))]

    assert remediate._take(rows, 4, "RUN") == 4

    told = capsys.readouterr().err
    assert "stopped: 2 of 4 steps were not taken" in told
    assert "1 verified before it: sigsrv-remediate --undo RUN" in told


@pytest.mark.parametrize("error", [KeyboardInterrupt(), Refused(["why"])])
def test_whatever_ends_a_run_between_two_steps_does_not_hide_what_was_verified(capsys, error):
    """Interrupted, or refused by then: the run that undoes it is named all the same."""

    def steps():
        yield StepResult(Step(FAILING, FIX), Outcome(EndState.VERIFIED, "a"))
        raise error

    with pytest.raises(type(error)):
        remediate._take(steps(), 2, "RUN")

    told = capsys.readouterr().err
    assert "stopped: 1 of 2 steps were not taken" in told
    assert "1 verified before it: sigsrv-remediate --undo RUN" in told


def test_what_is_refused_before_the_first_step_says_no_more_than_why(capsys):
    """It did not begin, so nothing was stopped."""

    def steps():
        raise Refused(["why"])
        yield

    with pytest.raises(Refused):
        remediate._take(steps(), 2, "RUN")

    assert capsys.readouterr() == ("", "")


def test_the_help_names_every_option_and_fits_a_terminal():
    """What it says of exit statuses is what the README says."""
    done = subprocess.run(
        ["sigsrv-remediate", "--help"], capture_output=True, text=True, check=True, env=environment(COLUMNS="80")
    )
    readme = Path("README.md").read_text(encoding="utf-8")

    assert max(len(line) for line in done.stdout.splitlines()) <= 80
    for option in ("--all", "--severity", "--from", "--plan", "--json", "--yes", "--undo", "--history", "--journal"):
        assert option in done.stdout
        assert option in readme, option


def environment(**more: str) -> dict[str, str]:
    return {**os.environ, "PATH": f"{Path(sys.executable).parent}:{os.environ['PATH']}", **more}
