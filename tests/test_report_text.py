"""Tests the text report: for a terminal and for a cron mail."""

from __future__ import annotations

import re
import sys

import pytest

from sigsrv.model.finding import Verdict
from sigsrv.report import phrases, text
from tests.report_sample import FAIL, FINDINGS, LONG, OK_HOSTS, STEERING, STEERS, USES, make_run, ok


@pytest.mark.parametrize("width", [80, 60, 120])
def test_text_keeps_to_the_width(width):
    """No line is wider than the terminal, except ids and commands, which must stay whole for copy and paste."""
    whole = {
        f"{indent}{word}" for f in FINDINGS for indent, word in ((" " * 4, f.id), (" " * 6, phrases.fix_command(f)))
    }
    whole |= {f"      {use.waiver.source}" for use in USES}

    assert [
        line for line in text.summary(make_run(), width).splitlines() if len(line) > width and line not in whole
    ] == []


def test_text_counts_wide_characters_as_two():
    """A wide character takes two columns, so a line of wide characters wraps at half as many."""
    lines = text.summary(make_run([ok(verdict=FAIL, observed="漢" * 100)], OK_HOSTS), 40).splitlines()

    assert max(line.count("漢") for line in lines) == 16


def test_no_control_character_from_a_host_reaches_the_terminal():
    """The summary shows control characters in host text as escapes."""
    summary = text.summary(make_run([*FINDINGS, ok(host="a\x1b[31m\nb", resource=STEERING, verdict=FAIL)]))

    assert not STEERS.search(summary)
    assert "tty\\x1b[2J\\x1b]0;owned\\x07\\u202egnp.exe" in summary


def test_text_has_color_only_on_request():
    """Only the headline has color, and only if the caller asks for it."""
    run = make_run()

    assert "\x1b" not in text.summary(run)
    assert text.summary(run, color=True).startswith("\x1b[1;31m")
    assert re.sub("\x1b\\[[0-9;]*m", "", text.summary(run, color=True)) == text.summary(run)


def test_text_lists_root_findings_by_severity_and_counts_dependent_findings():
    """Failures come first, by severity, then undetermined, then waived findings. Dependent findings are only counted."""
    summary = text.summary(make_run(waivers=()))
    ids = [line.strip() for line in summary.splitlines() if re.fullmatch(r" {4}[A-Z]+-\d+@\S+", line)]
    order = [FAIL, Verdict.ERROR, Verdict.WAIVED]
    roots = [f for f in FINDINGS if f.verdict in order and not f.because]

    assert ids == [f.id for f in sorted(phrases.worst_first(roots), key=lambda f: order.index(f.verdict))]
    assert re.search(r"HOST-001@backup/backup\n(?: {6}.*\n)*? {6}6 findings depend on it\n", summary)


def test_text_counts_findings_whose_root_finding_is_not_in_the_run():
    """They are counted under the id of the root finding."""
    summary = text.summary(make_run([ok(verdict=Verdict.ERROR, because="HOST-001@x/x")], OK_HOSTS))

    assert "    1 finding depends on HOST-001@x/x\n" in summary


def test_text_says_why_a_host_is_unreachable_and_how_to_fix():
    """A cron mail has the state of each host with the reason, and the fix command of each finding that has one."""
    summary = text.summary(make_run(), 200)

    assert "backup   unreachable, 3.1 s, 0 probes: ssh: connect to host backup port 22: No route to host" in summary
    assert f"      sigsrv-remediate INST-001@sigsrv/{LONG}\n" in summary
    assert "sigsrv-remediate NET-002" not in summary


def test_text_cuts_long_observed_values():
    """One megabyte of observed text does not fill the mail; the mail says how long it is."""
    summary = text.summary(make_run([ok(verdict=FAIL, observed="x" * 1_000_000)], OK_HOSTS))

    assert len(summary) < 3000
    assert "1,000,000 characters" in summary.replace("\n", " ").replace("        ", "")


def test_text_shows_waived_findings_and_waivers_to_review():
    """A cron mail has the observed state, the owner and the end of each waiver, and the line of the file to edit."""
    summary = text.summary(make_run(), 120)

    assert (
        "      observed: no limits.memory\n      waived: by Ada Ops until 2026-12-31 23:00:00 UTC: replaced by"
        in summary
    )
    assert "Waivers to review: 1 expired, 1 ending soon, 1 no longer needed\n" in summary
    assert "      policies/waivers.yaml:22\n" in summary


def test_a_compliant_run_prints_nothing_unless_a_waiver_needs_a_review():
    """A cron job of a compliant site sees this output."""
    assert text.warnings_only(make_run([ok()], OK_HOSTS, USES[:1])) == ""
    assert text.warnings_only(make_run([ok()], OK_HOSTS, USES)).startswith(
        "sigsrv-infra: Compliant\n\nWaivers to review: 1 ex"
    )


def test_the_fast_test_for_plain_text_accepts_no_hidden_character():
    """The test tries every Unicode character."""
    taken = [
        chr(code) for code in range(sys.maxunicode + 1) if phrases.is_plain(chr(code)) and phrases.is_hidden(chr(code))
    ]

    assert taken == []
    assert phrases.is_plain("eine Brücke, 橋: ok")
    assert not phrases.is_plain("a\u202eb")
    assert phrases.is_plain("a\tb\n", keep="\n\t")
