"""Text that all reports share: the headline, the order of findings, and host text made harmless."""

from __future__ import annotations

import unicodedata
from collections.abc import Iterable, Mapping, Sequence
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
_NAMED = 4  # a host's unread probes are named if there are at most so many
_WORST_FIRST = {severity: place for place, severity in enumerate(Severity)}

# Control, format (bidi overrides, zero width), surrogate, private use, unassigned, line and paragraph separator.
_HIDDEN = frozenset({"Cc", "Cf", "Cs", "Co", "Cn", "Zl", "Zp"})


def is_hidden(character: str) -> bool:
    """Return whether a character is invisible or controls the display (a control or bidi character, for example)."""
    return unicodedata.category(character) in _HIDDEN


def escaped(character: str) -> str:
    r"""Return the Python escape of a hidden character: ``\x1b``, ``\n``, ``\u202e``."""
    return character.encode("unicode_escape", "surrogatepass").decode("ascii")


def is_plain(text: str, keep: str = "") -> bool:
    """Return whether a text has no hidden character, apart from those in ``keep``.

    This test is fast, and nearly all text passes it. All hidden characters are in the Unicode categories C and Z;
    ``str.isprintable`` accepts none of these except the space.
    """
    return text.translate(dict.fromkeys(map(ord, keep))).isprintable()


def visible(text: str, keep: str = "") -> str:
    r"""Return host text with each hidden character as an escape. keep: characters that stay (``"\n\t"`` in a script).

    >>> visible("web\x1b[31m\u202e1")
    'web\\x1b[31m\\u202e1'
    """
    if is_plain(text, keep):
        return text
    return "".join(escaped(char) if is_hidden(char) and char not in keep else char for char in text)


def count(number: int, singular: str, plural: str = "") -> str:
    """Return a number with its noun: ``1 failure``, ``3 failures``."""
    return f"{number:,} {singular if number == 1 else plural or singular + 's'}"


def overall_verdict(run: Run) -> Verdict:
    """Return the verdict of a whole run: fail, else error, else pass. Unknown is never pass."""
    if run.summary["fail"]:
        return Verdict.FAIL
    return Verdict.ERROR if run.exit_code else Verdict.PASS


def headline(run: Run) -> str:
    """Return the result of a run in one sentence.

    It says "Compliant" only if all hosts were read completely and nothing failed.
    """
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
        return "Nothing was judged: every finding is not applicable"
    if unread := [f"{host.name} {state_text(host)}" for host in run.hosts if not host.was_read]:
        return f"Not determined: {', '.join(unread)}"
    verdict = "Compliant in the selection" if run.selected else "Compliant"
    return f"{verdict}, {run.summary['waived']:,} waived" if run.summary["waived"] else verdict


def state_text(host: HostState) -> str:
    """Return how the collection on a host ended, as the rest of a sentence: ``was read``."""
    texts = {
        "ok": "was read",
        "limited": "was read without some rights",
        "partial": "was only partly read",
        "unreachable": "is unreachable",
    }
    return texts.get(host.state, host.state)


def worst_first(findings: Iterable[Finding]) -> list[Finding]:
    """Sort findings by severity (critical first), then policy, then id."""
    return sorted(findings, key=lambda finding: (_WORST_FIRST[finding.severity], finding.policy, finding.id))


def unread(host: HostState) -> str:
    """Return how much of what a host was asked it did not answer: ``3 not read: nft, sshd, /1.0``. More than a few are only counted."""
    names = host.failed_probes
    return f"{len(names)} not read" + (f": {', '.join(names)}" if len(names) <= _NAMED else "")


def roots(findings: Iterable[Finding], dependents: Mapping[str, Sequence[Finding]]) -> list[Finding]:
    """Return the findings that a report shows in full, worst first: those without a root finding, and those that are one themselves."""
    return [finding for finding in worst_first(findings) if not finding.because or finding.id in dependents]


def by_reason(findings: Iterable[Finding]) -> list[list[Finding]]:
    """Group findings of the same severity that could not be determined for the same reason and that show nothing else.

    A finding with hints, or with a root finding, stays alone.
    """
    found: dict[object, list[Finding]] = {}
    for each in findings:
        is_plain = each.verdict is Verdict.ERROR and each.reason and not (each.observed or each.hints or each.because)
        found.setdefault((each.severity, each.reason) if is_plain else each.id, []).append(each)
    return list(found.values())


def findings_by_root(run: Run) -> dict[str, list[Finding]]:
    """Return the findings that have a root finding, by the id of that root finding."""
    found: dict[str, list[Finding]] = {}
    for finding in run.findings:
        if finding.because:
            found.setdefault(finding.because, []).append(finding)
    return found


def readable_time(text: str) -> str:
    """Return an RFC 3339 time as ``2026-08-20 14:03:07 UTC``; any other text unchanged."""
    try:
        when = datetime.fromisoformat(text)
    except ValueError:
        return text
    if when.tzinfo is None:
        return text
    return when.astimezone(UTC).strftime("%Y-%m-%d %H:%M:%S UTC")


def waived_text(finding: Finding) -> str:
    """Return who accepts a finding, until when and why; "" if it is not waived."""
    return f"waived {waiver_text(finding.waiver)}" if finding.waiver else ""


def waiver_text(waiver: Waiver) -> str:
    """Return ``by OWNER until TIME: REASON``."""
    return f"by {waiver.owner} until {readable_time(rfc3339(waiver.until))}: {waiver.reason}"


def waiver_counts(run: Run) -> str:
    """Count the waivers that need a review: ``1 expired, 2 ending soon``."""
    number = {state: sum(use.state is state for use in run.warnings) for state in WaiverState}
    texts = {WaiverState.EXPIRED: "expired", WaiverState.EXPIRING: "ending soon", WaiverState.STALE: "no longer needed"}
    return ", ".join(f"{number[state]:,} {text}" for state, text in texts.items() if number[state])


def waiver_status(use: WaiverUse, run: Run) -> str:
    """Return the state of a waiver in a run, and what to do about it."""
    until = readable_time(rfc3339(use.waiver.until))
    failing = count(len(use.findings), "finding fails", "findings fail") if use.findings else ""
    if use.state is WaiverState.STALE:
        return "no longer needed: no finding that it matches fails; remove it"
    if use.state is WaiverState.EXPIRED:
        return f"expired on {until}; {f'{failing} again' if failing else 'it is unknown whether it is still needed'}"
    then = f"; {failing} after that" if failing else ""
    try:
        days = (use.waiver.until - datetime.fromisoformat(run.finished)).days
    except (ValueError, TypeError):
        return f"ends on {until}{then}"
    left = f"in {count(days, 'day')}" if days > 0 else "in less than a day"
    return f"ends {left}, on {until}{then}"


def fix_command(finding: Finding) -> str:
    """Return the command that fixes a finding. A finding id needs no quoting in a shell."""
    return f"sigsrv-remediate {finding.id}"
