"""Tests the arguments and the output of sigsrv-remediate, without any host."""

from __future__ import annotations

import dataclasses
import json
import os
import shlex
import subprocess
import sys
from pathlib import Path

import pytest

from sigsrv.commands import remediate, remediate_options, remediate_plan, remediate_show
from sigsrv.commands.remediate_options import new_parser
from sigsrv.model.touches import Touch
from sigsrv.remediate.arming import RollbackTimer
from sigsrv.remediate.effects import disruption
from sigsrv.remediate.host_locks import Refused
from sigsrv.remediate.journal import Journal
from sigsrv.remediate.planning import FixPlan, FixRequest, Step, triage_findings
from sigsrv.remediate.runs import StepResult
from sigsrv.remediate.transaction import EndState, Outcome
from tests.test_remediate_journal import FAILING, FIX, record_verified_step, run, transaction

SITE = "src/sigsrv/demo/site.yaml"


@pytest.mark.parametrize(
    ("argv", "result"),
    [
        (["NET-001", "--all"], "use only one of: findings, --all, --from"),
        (["NET-001@a/b", "--severity", "high"], "--severity: not allowed with the finding NET-001@a/b"),
        (["--all", "--undo", "x"], "use only one of: findings, --undo, --abandon, --history"),
        (["--undo", "x", "--history"], "use only one of: findings, --undo, --abandon, --history"),
        (["--json"], "--json works only with --plan and findings"),
        (["--all", "--json"], "--json works only with --plan and findings"),
        (["--all", "--confirm-timeout", "1"], "--confirm-timeout: 1 s is not between 4 and 3600"),
        (["--all", "--confirm-timeout", "4000"], "--confirm-timeout: 4000 s is not between 4 and 3600"),
        (["--all", "--confirm-timeout", "nan"], "--confirm-timeout: nan s is not between"),
        (["--all", "--max", "0"], "--max: objects=0 is less than 1"),
        (["--all", "--max", "many"], '--max: "many" is not a limit'),
        (["--all", "--max", "hosts"], '--max: "hosts" is not a limit'),
        (["--all", "--max", "objects=2,3"], '--max: "objects=2,3" is not a limit'),
        (["--all", "--max", "guests=2"], '--max: "guests" is not counted'),
        (["--all", "--pause", "-1"], "--pause: -1 s is not between 0 and 3600"),
        (["--all", "--pause", "nan"], "--pause: nan s is not between"),
        (["--all", "--reason", " "], "--reason: '' is empty"),
        (["--all", "--reason", "a\x1b[31m"], "--reason: 'a\\x1b[31m' is empty, longer than 200 characters or has"),
        (["--all", "--reason", "a" * 201], "longer than 200 characters"),
        (["--all", "--force"], "--force works only with --undo"),
        (["--abandon", "../../etc", "--reason", "r"], '--abandon: "../../etc" is not the id of a transaction'),
        (["--abandon", "0123456789abcdef"], "--abandon needs --reason"),
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
    journal.begin_run(run(2), "lab", run(1), "ticket 12")
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
  reason: ticket 12
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
    remediate_plan.fix_plan(FixPlan((), triage_findings(FixRequest(), [], lambda _: None), steps), 60, whole)
    return capsys.readouterr().out


TWO = (Step(FAILING, FIX, RollbackTimer.UNIT, canary=True, others=("sigsrv",)), Step(FAILING, FIX))


def test_plan_begins_with_a_short_list(capsys):
    """It says what changes where, whom it disrupts and how much that is in all. No script is in it."""
    assert (
        show_plan(capsys, *TWO)
        == """\
plan: 2 fixes

 1  NET-001@minisrv/br0
    high: Attach the VLAN interface to its bridge, on minisrv and sigsrv; goes
    first (canary)
    may cut the network of minisrv and sigsrv
    does not last: taken back by the next boot of minisrv, unless its
    configuration says the same

 2  NET-001@minisrv/br0
    high: Attach the VLAN interface to its bridge, on minisrv
    may cut the network of minisrv
    does not last: taken back by the next boot of minisrv, unless its
    configuration says the same

  in all:   changes 1 object on minisrv and sigsrv; may cut the network of
            minisrv and sigsrv (rolled back within 60 s unless a new login
            confirms it)

"""
    )


def test_plan_shows_the_whole_step_in_80_columns(capsys):
    """After the list come the values, the change, its disruption, undo and safety, both scripts and the permanent fix."""
    text = show_plan(capsys, *TWO, whole=True)

    for part in (
        "\nstep 1 of 2\nNET-001@minisrv/br0: t\n  now:",
        "\n  then:",
        "\n  does:     Attach the VLAN interface to its bridge, on minisrv and sigsrv\n",
        "\n  canary:   minisrv goes first; the other hosts follow only if the fix is\n            verified there\n",
        "\n  disrupts: may cut the network of minisrv and sigsrv. ",
        "\n  lasts:    no, taken back by the next boot of minisrv, unless its configuration\n"
        "            says the same; the permanent fix below makes it last\n",
        "\n  undo:     ",
        "\n  safety:   the host rolls it back within 60 s unless a new login confirms it,\n"
        "            or at its next boot\n",
        "\nchange:\n  | --- ",
        "\nscript:\n  | #!/bin/sh\n",
        "\n  | bridge=br0\n",
        "\nundo:\n  | #!/bin/sh\n",
        "\npermanent fix (OpenTofu), to make it last:\n",
        "\nstep 2 of 2\n",
    ):
        assert part in text
    assert max(len(line) for line in text.splitlines() if not line.startswith("  | ")) <= 80


def test_change_is_a_diff_of_the_things_that_the_fix_declares():
    """A key without a value before is only added. Without declared things, the finding's own words are the diff."""
    touches = (
        Touch("network", "br0", "security.acls", "a,b", True),
        Touch("network", "br0", "security.acls.default.ingress.action", "", True),
        Touch("link", "br0", "mtu"),
        Touch("guest", "default/web"),
    )
    now = {
        ("network", "br0", "security.acls"): "a",
        ("network", "br0", "security.acls.default.ingress.action"): "allow",
    }

    assert remediate_plan.change(Step(FAILING, dataclasses.replace(FIX, touches=touches), now=now)).splitlines() == [
        "--- network br0",
        "+++ network br0",
        "-security.acls: a",
        "+security.acls: a,b",
        "-security.acls.default.ingress.action: allow",
        "+security.acls.default.ingress.action: (unset)",
        "--- link br0",
        "+++ link br0",
        "+mtu: (as the script computes it)",
        "--- guest default/web",
        "+++ guest default/web",
        "+(as the script computes it)",
    ]
    finding = dataclasses.replace(FAILING, observed="none", expected="a")
    assert remediate_plan.change(Step(finding, dataclasses.replace(FIX, touches=()))) == "--- br0\n+++ br0\n-none\n+a"


def test_plan_without_failures_says_so(capsys):
    """No output at all would be ambiguous."""
    remediate_show.triage(triage_findings(FixRequest(all=True), [], lambda _: None), (), {}, True)

    assert capsys.readouterr().out == "nothing to do: no selected finding fails\n"


def test_every_disruption_has_a_phrase():
    """Each kind in the schema says who is hit. Only what disrupts nothing says so."""
    schema = json.loads(Path("policies/schema/remediation.schema.json").read_text(encoding="utf-8"))

    for kind in schema["properties"]["disruption"]["enum"]:
        said = disruption(Step(FAILING, dataclasses.replace(FIX, disruption=kind)))
        assert (said == "disrupts nothing") is (kind == "none")


ENDINGS = [
    (EndState.VERIFIED, 0, "1 verified; to undo: sigsrv-remediate --undo RUN\n", ""),
    (EndState.UNDONE, 4, "", "not fixed: why\nsigsrv-remediate: rolled back, the host is as it was before\n"),
    (EndState.REFUSED, 4, "", "rolled back, the host is as it was before\n"),
    (EndState.UNKNOWN, 4, "", "STATE UNKNOWN, check the host: the rollback is not verified\n"),
]


def again(*words: str) -> str:
    return " ".join(("AGAIN", *words))


def a_step(name: str) -> Step:
    return Step(dataclasses.replace(FAILING, resource=name), FIX)


STEPS = tuple(map(a_step, "abcd"))


@pytest.mark.parametrize(("end_state", "status", "out", "err"), ENDINGS)
def test_step_result_sets_message_and_exit_status(capsys, end_state, status, out, err):
    """A verified step is 0. A step that did not stay is 4."""
    done = [StepResult(STEPS[0], Outcome(end_state, "why"))]

    assert remediate._run_steps(done, STEPS[:1], "RUN", again) == status

    output = capsys.readouterr()
    assert out in output.out
    assert err in output.err


def test_failed_step_stops_the_run(capsys):
    """Steps that were verified before stay. Two commands go on: one for the rest, one for the undo."""
    rows = [StepResult(STEPS[0], Outcome(EndState.VERIFIED, "a")), StepResult(STEPS[1], Outcome(EndState.UNDONE, "b"))]

    assert remediate._run_steps(rows, STEPS, "RUN", again) == 4

    output = capsys.readouterr().err
    assert "stopped: 2 of 4 steps did not run" in output
    assert "\n  AGAIN NET-001@minisrv/c NET-001@minisrv/d\n" in output
    assert "1 verified before; to undo: sigsrv-remediate --undo RUN" in output


def test_step_that_the_operator_left_out_is_not_fixed(capsys):
    """Exit status 1: the finding still fails."""
    rows = [
        StepResult(STEPS[0], Outcome(EndState.VERIFIED, "a")),
        StepResult(STEPS[1], None, "left out", left_out=True),
    ]

    assert remediate._run_steps(rows, STEPS[:2], "RUN", again) == 1

    output = capsys.readouterr()
    assert "NET-001@minisrv/b: left out\n" in output.out
    assert "1 verified; to undo: sigsrv-remediate --undo RUN\n" in output.out
    assert output.err == ""


def test_undo_names_what_somebody_changed_since(capsys):
    """Exit status 1, and the command that overwrites it."""
    kept = "userbr0: security.acls is a,q, not a as the fix left it"
    rows = [StepResult(STEPS[0], Outcome(EndState.VERIFIED, "a", kept=(kept,)))]

    assert remediate._run_steps(rows, STEPS[:1], "RUN2", again, undoes="RUN") == 1

    output = capsys.readouterr().err
    assert f"not put back, because somebody changed it since: {kept}" in output
    assert "\n  AGAIN --undo RUN --force\n" in output


@pytest.mark.parametrize("error", [KeyboardInterrupt(), Refused(["why"])])
def test_run_that_ends_between_steps_names_its_undo_command(capsys, error):
    """An interruption or a refusal does not hide the verified steps, nor the command that goes on."""

    def steps():
        yield StepResult(STEPS[0], Outcome(EndState.VERIFIED, "a"))
        raise error

    with pytest.raises(type(error)):
        remediate._run_steps(steps(), STEPS[:2], "RUN", again)

    output = capsys.readouterr().err
    assert "stopped: 1 of 2 steps did not run" in output
    assert "AGAIN NET-001@minisrv/b" in output
    assert "1 verified before; to undo: sigsrv-remediate --undo RUN" in output


def test_run_refused_before_the_first_step_prints_no_summary(capsys):
    """It did not start, so nothing was stopped."""

    def steps():
        raise Refused(["why"])
        yield

    with pytest.raises(Refused):
        remediate._run_steps(steps(), STEPS[:2], "RUN", again)

    assert capsys.readouterr() == ("", "")


def test_command_that_goes_on_has_the_same_options():
    """Options that choose findings are left out. A value with a space stays one word of a shell."""
    parser = new_parser()
    typed = "--all --site s.yaml --policies a --policies b --max restarts=2 --pause 30 --yes --sudo --timeout 20"
    arguments = parser.parse_args([*typed.split(), "--reason", "ticket 12"])

    line = remediate_options.again(parser, arguments, "NET-001@a/b", "X-001@a/it's")

    words = shlex.split(line)
    assert words[0] == "sigsrv-remediate"
    assert words[-2:] == ["NET-001@a/b", "X-001@a/it's"]
    again = parser.parse_args(words[1:])
    assert vars(again) | {"finding": []} == vars(arguments) | {"all": False}


def test_help_lists_every_option_in_80_columns():
    """The README has the same options."""
    done = subprocess.run(
        ["sigsrv-remediate", "--help"], capture_output=True, text=True, check=True, env=environment(COLUMNS="80")
    )
    readme = Path("README.md").read_text(encoding="utf-8")

    assert max(len(line) for line in done.stdout.splitlines()) <= 80
    for option in (
        *[
            "--all",
            "--severity",
            "--from",
            "--plan",
            "--json",
            "--yes",
            "--reason",
            "--max",
            "--pause",
            "--undo",
            "--force",
            "--abandon",
        ],
        "--history",
        "--journal",
    ):
        assert option in done.stdout
        assert option in readme or option == "--abandon", (
            option
        )  # for a rollback that fails; docs/remediation.md has it


def environment(**more: str) -> dict[str, str]:
    return {**os.environ, "PATH": f"{Path(sys.executable).parent}:{os.environ['PATH']}", **more}
