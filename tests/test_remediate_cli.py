"""Tests the arguments and the output of sigsrv-remediate, without any host."""

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
from tests.test_remediate_journal import FAILING, FIX, record_verified_step, run, transaction
from tests.test_remediation import REMEDIATIONS

SITE = "src/sigsrv/demo/site.yaml"


@pytest.mark.parametrize(
    ("argv", "result"),
    [
        (["NET-001", "--all"], "use only one of: findings, --all, --from"),
        (["NET-001@a/b", "--severity", "high"], "--severity: not allowed with the finding NET-001@a/b"),
        (["--all", "--undo", "x"], "use only one of: findings, --undo, --history"),
        (["--undo", "x", "--history"], "use only one of: findings, --undo, --history"),
        (["--json"], "--json works only with --plan and findings"),
        (["--all", "--json"], "--json works only with --plan and findings"),
        (["--all", "--confirm-timeout", "1"], "--confirm-timeout: 1 s is not between 4 and 3600"),
        (["--all", "--confirm-timeout", "4000"], "--confirm-timeout: 4000 s is not between 4 and 3600"),
        (["--all", "--confirm-timeout", "nan"], "--confirm-timeout: nan s is not between"),
        (["--all", "--max", "0"], "--max: 0 is less than 1"),
        (["--from", "/nowhere/findings.json"], "--from: /nowhere/findings.json: No such file or directory"),
        (["--from", "README.md"], "--from: README.md:1: not JSON"),
        (["--from", "policies/schema/site.schema.json"], "not the findings of a scan"),
        (["NET-100", "--site", SITE], "NET-100: there is no policy NET-100"),
        (["--undo", "x", "--site", SITE], "has no run x"),
        (["--all", "--site", SITE, "--journal", "/proc/nowhere/j"], "the journal can't be written"),
    ],
)
def test_usage_error_is_one_line(capsys, argv, result):
    """The message says what is wrong, where, and what to do. Nothing was scanned."""
    status = remediate.main(argv)

    output = capsys.readouterr()
    assert status == 2
    assert result in output.err
    assert "Traceback" not in output.err
    assert output.out == ""


def test_empty_history_creates_no_journal(capsys, tmp_path):
    """Reading changes nothing."""
    assert remediate.main(["--history", "--journal", str(tmp_path / "j")]) == 0

    assert capsys.readouterr().out == f"{tmp_path}/j: nothing was applied yet\n"
    assert not (tmp_path / "j").exists()


def test_history_shows_operator_time_fix_and_result(capsys, tmp_path, monkeypatch):
    """The newest run comes first.

    An undone step names the run that undid it, a failed one its reason, an interrupted one what happens next.
    """
    monkeypatch.setattr("sigsrv.remediate.journal.time.time", lambda: 1_800_000_000.0)
    monkeypatch.setattr("sigsrv.remediate.journal.who", lambda: "alice@ws")
    journal = Journal(tmp_path / "j")
    journal.begin_run(run(1), "lab")
    record_verified_step(journal, transaction(1))
    journal.begin_step(transaction(2), FIX, [FAILING])
    journal.write(transaction(2), FIX, "undone", "other findings got worse: NET-004@minisrv/br0 fail\x1b[31m")
    monkeypatch.setattr("sigsrv.remediate.journal.time.time", lambda: 1_800_000_060.0)
    journal.begin_run(run(2), "lab", run(1))
    record_verified_step(journal, transaction(8), undoes=transaction(1))
    journal.begin_step(transaction(3), FIX, [FAILING])
    journal._database.execute("UPDATE run SET pid = 0")
    journal.close()

    assert remediate.main(["--history", "--journal", str(tmp_path / "j")]) == 0

    hash16 = FIX.sha256[:16]
    assert (
        capsys.readouterr().out
        == f"""\
{run(2)} of lab, 2027-01-15 08:01:00 UTC, alice@ws
  undoes {run(1)}
  verified: NET-001@minisrv/br0
    attach-vlan on minisrv, script sha256 {hash16}
  interrupted: NET-001@minisrv/br0
    attach-vlan on minisrv, script sha256 {hash16}
    the host rolls it back unless it was confirmed; the next run records how it
    ended

{run(1)} of lab, 2027-01-15 08:00:00 UTC, alice@ws
  verified, undone by {run(2)}: NET-001@minisrv/br0
    attach-vlan on minisrv, script sha256 {hash16}
  undone: NET-001@minisrv/br0
    attach-vlan on minisrv, script sha256 {hash16}
    other findings got worse: NET-004@minisrv/br0 fail\\x1b[31m
"""
    )


def show_plan(capsys, *steps: Step, whole: bool = False) -> str:
    remediate_show.fix_plan(FixPlan((), triage_findings(FixRequest(), [], lambda _: None), steps), 60, whole)
    return capsys.readouterr().out


def test_plan_shows_the_whole_step_in_80_columns(capsys):
    """It has the values, the fix, its disruption, undo and safety, the rendered script and the permanent fix."""
    text = show_plan(capsys, Step(FAILING, FIX, RollbackTimer.UNIT, canary=True), Step(FAILING, FIX), whole=True)

    assert text.startswith("step 1 of 2\nNET-001@minisrv/br0: t\n  now:")
    for part in (
        "\n  then:",
        "\n  does:     Attach the VLAN interface to its bridge, on minisrv\n",
        "\n  canary:   minisrv goes first; the other hosts follow only if the fix is\n            verified there\n",
        "\n  disrupts: may cut the network of minisrv. ",
        "\n  undo:     ",
        "\n  safety:   the host rolls it back within 60 s unless a new login confirms it,\n"
        "            or at its next boot\n",
        "\nscript:\n  | #!/bin/sh\n",
        "\n  | bridge=br0\n",
        "\nundo:\n  | #!/bin/sh\n",
        "\npermanent fix (OpenTofu), to make it last:\n",
        "\nstep 2 of 2\n",
    ):
        assert part in text
    assert max(len(line) for line in text.splitlines() if not line.startswith("  | ")) <= 80


@pytest.mark.parametrize(
    ("disruption", "words"),
    [
        ("none", "nothing. "),
        ("instance", "may restart an instance or remove something from it. "),
        ("service", "restarts a service on minisrv. "),
        ("network", "may cut the network of minisrv. "),
    ],
)
def test_disruption_starts_with_a_short_phrase(capsys, disruption, words):
    """A sentence with the details follows."""
    text = show_plan(capsys, Step(FAILING, dataclasses.replace(FIX, disruption=disruption)))

    assert f"disrupts: {words}" in text


def test_plan_without_failures_says_so(capsys):
    """No output at all would be ambiguous."""
    remediate_show.triage(triage_findings(FixRequest(all=True), [], lambda _: None), (), {}, True)

    assert capsys.readouterr().out == "nothing to do: no selected finding fails\n"


def test_every_disruption_has_a_phrase():
    """The schema and the remediations have no other disruption."""
    schema = json.loads(Path("policies/schema/remediation.schema.json").read_text(encoding="utf-8"))

    assert set(remediate_show.DISRUPTIONS) == set(schema["properties"]["disruption"]["enum"])
    assert {each.disruption for each in REMEDIATIONS.values()} <= set(remediate_show.DISRUPTIONS)


ENDINGS = [
    (EndState.VERIFIED, 0, "1 verified; to undo: sigsrv-remediate --undo RUN\n", ""),
    (EndState.UNDONE, 4, "", "not fixed: why\nsigsrv-remediate: rolled back, the host is as it was before\n"),
    (EndState.REFUSED, 4, "", "rolled back, the host is as it was before\n"),
    (EndState.UNKNOWN, 4, "", "STATE UNKNOWN, check the host: the rollback is not verified\n"),
]


@pytest.mark.parametrize(("end_state", "status", "out", "err"), ENDINGS)
def test_step_result_sets_message_and_exit_status(capsys, end_state, status, out, err):
    """A verified step is 0. A step that did not stay is 4."""
    done = [StepResult(Step(FAILING, FIX), Outcome(end_state, "why"))]

    assert remediate._run_steps(done, 1, "RUN") == status

    output = capsys.readouterr()
    assert out in output.out
    assert err in output.err


def test_failed_step_stops_the_run(capsys):
    """Steps that were verified before stay, and the message names the command that undoes them."""
    step = Step(FAILING, FIX)
    rows = [StepResult(step, Outcome(EndState.VERIFIED, "a")), StepResult(step, Outcome(EndState.UNDONE, "b"))]

    assert remediate._run_steps(rows, 4, "RUN") == 4

    output = capsys.readouterr().err
    assert "stopped: 2 of 4 steps did not run" in output
    assert "1 verified before; to undo: sigsrv-remediate --undo RUN" in output


@pytest.mark.parametrize("error", [KeyboardInterrupt(), Refused(["why"])])
def test_run_that_ends_between_steps_names_its_undo_command(capsys, error):
    """An interruption or a refusal does not hide the verified steps."""

    def steps():
        yield StepResult(Step(FAILING, FIX), Outcome(EndState.VERIFIED, "a"))
        raise error

    with pytest.raises(type(error)):
        remediate._run_steps(steps(), 2, "RUN")

    output = capsys.readouterr().err
    assert "stopped: 1 of 2 steps did not run" in output
    assert "1 verified before; to undo: sigsrv-remediate --undo RUN" in output


def test_run_refused_before_the_first_step_prints_no_summary(capsys):
    """It did not start, so nothing was stopped."""

    def steps():
        raise Refused(["why"])
        yield

    with pytest.raises(Refused):
        remediate._run_steps(steps(), 2, "RUN")

    assert capsys.readouterr() == ("", "")


def test_help_lists_every_option_in_80_columns():
    """The README has the same options."""
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
