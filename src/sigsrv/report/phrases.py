"""What every report says in the same way: the verdict sentence, the order of findings, host text made harmless."""

from __future__ import annotations

import unicodedata
from collections.abc import Iterable
from datetime import UTC, datetime

from sigsrv.model.finding import Finding, HostState, Run, Severity, Verdict, Waiver, WaiverState, WaiverUse, rfc3339

VERDICTS = (Verdict.FAIL, Verdict.ERROR, Verdict.WAIVED, Verdict.NOT_APPLICABLE, Verdict.PASS)
LABELS = {
    Verdict.FAIL: "fail",
    Verdict.ERROR: "could not be determined",
    Verdict.WAIVED: "waived",
    Verdict.NOT_APPLICABLE: "not applicable",
    Verdict.PASS: "pass",
}
_WORST_FIRST = {severity: place for place, severity in enumerate(Severity)}

# Control, format (bidi overrides, zero width), surrogate, private use, unassigned, line and paragraph separator.
_HIDDEN = frozenset({"Cc", "Cf", "Cs", "Co", "Cn", "Zl", "Zp"})


def is_hidden(character: str) -> bool:
    """Whether a character would steer what shows it, or show nothing, instead of being read."""
    return unicodedata.category(character) in _HIDDEN


def escaped(character: str) -> str:
    r"""A hidden character as Python spells it: ``\x1b``, ``\n``, ``\u202e``."""
    return character.encode("unicode_escape", "surrogatepass").decode("ascii")


def is_plain(text: str, keep: str = "") -> bool:
    """Whether all of a text is printable: nearly all of it is, and need not be read letter by letter.

    What is hidden is of the Unicode categories C and Z, none of which ``str.isprintable`` lets pass but the blank.
    """
    return text.translate(dict.fromkeys(map(ord, keep))).isprintable()


def visible(text: str, keep: str = "") -> str:
    r"""Host text with each hidden character spelled out. keep: those that may stay (``"\n\t"`` in a script).

    >>> visible("web\x1b[31m\u202e1")
    'web\\x1b[31m\\u202e1'
    """
    if is_plain(text, keep):
        return text
    return "".join(escaped(char) if is_hidden(char) and char not in keep else char for char in text)


def count(number: int, singular: str, plural: str = "") -> str:
    """A number with its noun: ``1 failure``, ``3 failures``."""
    return f"{number:,} {singular if number == 1 else plural or singular + 's'}"


def tone(run: Run) -> Verdict:
    """What a run comes to, as one verdict: fail, else error, else pass. Unknown is never pass."""
    if run.summary["fail"]:
        return Verdict.FAIL
    return Verdict.ERROR if run.exit_code else Verdict.PASS


def headline(run: Run) -> str:
    """The verdict of a run in one sentence. "Compliant" only where everything was read and nothing failed."""
    parts = []
    if failures := run.summary["fail"]:
        parts.append(count(failures, "failure"))
    if errors := run.summary["error"]:
        parts.append(f"{errors:,} could not be determined")
    if parts:
        return ", ".join(parts)
    if not run.findings:
        return "Nothing was examined"
    if not run.is_judged:
        return "Nothing was judged: all is not applicable"
    if unread := [f"{host.name} {state_words(host)}" for host in run.hosts if host.state != "ok"]:
        return f"Not determined: {', '.join(unread)}"
    verdict = "Compliant in what was selected" if run.selected else "Compliant"
    return f"{verdict}, {run.summary['waived']:,} waived" if run.summary["waived"] else verdict


def state_words(host: HostState) -> str:
    """How the collection on a host went, as the end of a sentence."""
    said = {"ok": "was read", "partial": "was read in part", "unreachable": "is unreachable"}
    return said.get(host.state, host.state)


def worst_first(findings: Iterable[Finding]) -> list[Finding]:
    """Findings by severity, then policy, then id."""
    return sorted(findings, key=lambda finding: (_WORST_FIRST[finding.severity], finding.policy, finding.id))


def consequences(run: Run) -> dict[str, list[Finding]]:
    """The findings that merely follow from another, by the id of that other."""
    found: dict[str, list[Finding]] = {}
    for finding in run.findings:
        if finding.because:
            found.setdefault(finding.because, []).append(finding)
    return found


def moment(text: str) -> str:
    """An RFC 3339 time as it is read: ``2026-08-20 14:03:07 UTC``; anything else as it is."""
    try:
        when = datetime.fromisoformat(text)
    except ValueError:
        return text
    if when.tzinfo is None:
        return text
    return when.astimezone(UTC).strftime("%Y-%m-%d %H:%M:%S UTC")


def waived(finding: Finding) -> str:
    """Who accepts a finding, until when and why; "" where nobody does."""
    return f"waived {acceptance(finding.waiver)}" if finding.waiver else ""


def acceptance(waiver: Waiver) -> str:
    """``by OWNER until TIME: REASON``."""
    return f"by {waiver.owner} until {moment(rfc3339(waiver.until))}: {waiver.reason}"


def warned(run: Run) -> str:
    """How many waivers somebody must look at, by what became of them."""
    number = {state: sum(use.state is state for use in run.warnings) for state in WaiverState}
    said = {WaiverState.EXPIRED: "expired", WaiverState.EXPIRING: "ends soon", WaiverState.STALE: "no longer needed"}
    return ", ".join(f"{number[state]:,} {text}" for state, text in said.items() if number[state])


def fate(use: WaiverUse, run: Run) -> str:
    """What became of a waiver in a run, and what is to be done about it."""
    until = moment(rfc3339(use.waiver.until))
    failing = count(len(use.findings), "finding fails", "findings fail") if use.findings else ""
    if use.state is WaiverState.STALE:
        return "no longer needed: nothing that it matches fails; it can be removed"
    if use.state is WaiverState.EXPIRED:
        return f"expired on {until}; {f'{failing} again' if failing else 'whether it is needed is not known'}"
    then = f"; {failing} then" if failing else ""
    try:
        days = (use.waiver.until - datetime.fromisoformat(run.finished)).days
    except (ValueError, TypeError):
        return f"ends on {until}{then}"
    left = f"in {count(days, 'day')}" if days > 0 else "in less than a day"
    return f"ends {left}, on {until}{then}"


def command(finding: Finding) -> str:
    """What to type to put a finding right; its id needs no quoting."""
    return f"sigsrv-remediate {finding.id}"
