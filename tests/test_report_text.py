"""The report as text: of a terminal, of a mail that cron sends."""

from __future__ import annotations

import re
import sys

import pytest

from sigsrv.model.finding import Verdict
from sigsrv.report import phrases, text
from tests.report_sample import FAIL, FINDINGS, LONG, OK_HOSTS, STEERING, STEERS, USES, make_run, ok


@pytest.mark.parametrize("width", [80, 60, 120])
def test_text_keeps_to_the_width(width):
    """No line is wider than the terminal, but the ids and commands that must stay whole to be pasted."""
    whole = {f"{indent}{said}" for f in FINDINGS for indent, said in ((" " * 4, f.id), (" " * 6, phrases.command(f)))}
    whole |= {f"      {use.waiver.source}" for use in USES}

    assert [
        line for line in text.summary(make_run(), width).splitlines() if len(line) > width and line not in whole
    ] == []


def test_text_counts_wide_characters_as_two():
    """Wide characters take two columns, so a line of them breaks in time."""
    lines = text.summary(make_run([ok(verdict=FAIL, observed="漢" * 100)], OK_HOSTS), 40).splitlines()

    assert max(line.count("漢") for line in lines) == 16


def test_text_lets_no_host_steer_the_terminal():
    """What a host says reaches the terminal with its control characters spelled out."""
    said = text.summary(make_run([*FINDINGS, ok(host="a\x1b[31m\nb", resource=STEERING, verdict=FAIL)]))

    assert not STEERS.search(said)
    assert "tty\\x1b[2J\\x1b]0;owned\\x07\\u202egnp.exe" in said


def test_text_has_colour_only_when_asked():
    """Colour is for a terminal that wants it; it marks the verdict and nothing of a host."""
    run = make_run()

    assert "\x1b" not in text.summary(run)
    assert text.summary(run, color=True).startswith("\x1b[1;31m")
    assert re.sub("\x1b\\[[0-9;]*m", "", text.summary(run, color=True)) == text.summary(run)


def test_text_lists_roots_worst_first_and_counts_what_follows():
    """Failures by severity, then unknowns, then what is waived; what follows from a finding is counted there and not listed."""
    said = text.summary(make_run(waivers=()))
    ids = [line.strip() for line in said.splitlines() if re.fullmatch(r" {4}[A-Z]+-\d+@\S+", line)]
    order = [FAIL, Verdict.ERROR, Verdict.WAIVED]
    roots = [f for f in FINDINGS if f.verdict in order and not f.because]

    assert ids == [f.id for f in sorted(phrases.worst_first(roots), key=lambda f: order.index(f.verdict))]
    assert re.search(r"HOST-001@backup/backup\n(?: {6}.*\n)*? {6}6 findings follow from it\n", said)


def test_text_counts_what_follows_from_a_finding_elsewhere():
    """Unknowns whose root is not in the run are still counted, under the root's id."""
    said = text.summary(make_run([ok(verdict=Verdict.ERROR, because="HOST-001@x/x")], OK_HOSTS))

    assert "    1 finding follows from HOST-001@x/x\n" in said


def test_text_says_why_a_host_is_unreachable_and_how_to_fix():
    """A cron mail names each host's state with its reason, and the command to fix where there is one."""
    said = text.summary(make_run(), 200)

    assert "backup   unreachable, 3.1 s, 0 probes: ssh: connect to host backup port 22: No route to host" in said
    assert f"      sigsrv-remediate INST-001@sigsrv/{LONG}\n" in said
    assert "sigsrv-remediate NET-002" not in said


def test_text_cuts_what_is_endless():
    """A megabyte of observation does not fill the mail; its size is told."""
    said = text.summary(make_run([ok(verdict=FAIL, observed="x" * 1_000_000)], OK_HOSTS))

    assert len(said) < 3000
    assert "1,000,000 characters" in said.replace("\n", " ").replace("        ", "")


def test_text_tells_what_is_waived_and_which_waivers_to_look_at():
    """A cron mail has what was seen, who accepts it, and what ends; with the line of the file to edit."""
    said = text.summary(make_run(), 120)

    assert (
        "      observed: no limits.memory\n      waived: by Ada Ops until 2026-12-31 23:00:00 UTC: replaced by" in said
    )
    assert "Waivers to look at: 1 expired, 1 ends soon, 1 no longer needed\n" in said
    assert "      policies/waivers.yaml:22\n" in said


def test_a_quiet_run_says_its_verdict_and_its_waivers_or_nothing():
    """What a cron job sees where all complies."""
    assert text.quiet(make_run([ok()], OK_HOSTS, USES[:1])) == ""
    assert text.quiet(make_run([ok()], OK_HOSTS, USES)).startswith(
        "sigsrv-infra: Compliant\n\nWaivers to look at: 1 ex"
    )


def test_every_hidden_character_is_found_though_most_texts_are_not_read_letter_by_letter():
    """Of all characters that there are: none that is hidden is taken for printable."""
    taken = [
        chr(code) for code in range(sys.maxunicode + 1) if phrases.is_plain(chr(code)) and phrases.is_hidden(chr(code))
    ]

    assert taken == []
    assert phrases.is_plain("eine Brücke, 橋: ok")
    assert not phrases.is_plain("a\u202eb")
    assert phrases.is_plain("a\tb\n", keep="\n\t")
