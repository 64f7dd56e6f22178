"""The summary of a run for a terminal or a cron mail.

No control character from a host reaches the terminal. Commands are not wrapped, so they can be copied and pasted.
"""

from __future__ import annotations

import unicodedata
from collections import Counter
from collections.abc import Iterable, Iterator

from sigsrv.model.finding import Finding, HostState, Run, Verdict
from sigsrv.report import phrases

_COLORS = {Verdict.FAIL: "31", Verdict.ERROR: "35", Verdict.PASS: "32"}
_SECTIONS = (
    (Verdict.FAIL, "Failures"),
    (Verdict.ERROR, "Could not be determined"),
    (Verdict.WAIVED, "Waived"),
)
_INDENT = "      "
_NAMED = 40  # details of a notice that are listed, at most
_SHOWN = 600  # characters of one observed value; the HTML report shows all of it


def summary(run: Run, width: int = 80, color: bool = False) -> str:
    """Return the summary: headline, hosts, failures, undetermined findings, waived findings, notices, and waivers to review.

    A finding that has a root finding is only counted, at its root finding, unless others depend on it too. Undetermined findings for the
    same reason are listed together. width: columns.
    """
    tone = phrases.overall_verdict(run)
    lines = list(_wrap(f"{run.site}: {phrases.headline(run)}", width))
    if color:
        lines = [f"\x1b[1;{_COLORS[tone]}m{line}\x1b[0m" for line in lines]
    lines += _wrap(_counts(run), width, "  ")
    if run.selected:
        lines += _wrap(f"selected: {run.selected}", width, "  ")
    lines += ["", "Hosts"]
    column = max((_columns(phrases.visible(host.name)) for host in run.hosts), default=0)
    for host in run.hosts:
        lines += _host(host, column, width)
    dependents = phrases.findings_by_root(run)
    for verdict, title in _SECTIONS:
        lines += _section(title, [f for f in run.findings if f.verdict is verdict], dependents, width)
    return "\n".join([*lines, *_notices(run, width), *waivers(run, width)]) + "\n"


def _notices(run: Run, width: int) -> Iterator[str]:
    """Yield what the run says once, with the first names; the HTML report has all of them."""
    for notice in run.notices:
        yield ""
        yield from _wrap(f"Notice: {notice.text}", width, "", "  ")
        more = f" and {len(notice.details) - _NAMED} more" if len(notice.details) > _NAMED else ""
        if notice.details:
            yield from _wrap(f"{', '.join(notice.details[:_NAMED])}{more}", width, _INDENT)


def waivers(run: Run, width: int = 80) -> list[str]:
    """Return the waivers to review, as lines that begin with an empty line; no line if there are none."""
    if not run.warnings:
        return []
    lines = ["", *_wrap(f"Waivers to review: {phrases.waiver_counts(run)}", width)]
    for use in run.warnings:
        lines += _wrap(use.waiver.target, width, "    ", _INDENT)
        lines += _wrap(phrases.waiver_status(use, run), width, _INDENT, _INDENT + "  ")
        lines += _wrap(f"by {use.waiver.owner}: {use.waiver.reason}", width, _INDENT, _INDENT + "  ")
        lines.append(f"{_INDENT}{phrases.visible(use.waiver.source)}")
    return lines


def warnings_only(run: Run, width: int = 80) -> str:
    """Return the output of a compliant run: empty, unless a waiver needs a review."""
    return "\n".join([f"{run.site}: {phrases.headline(run)}", *waivers(run, width)]) + "\n" if run.warnings else ""


def _counts(run: Run) -> str:
    summary = run.summary
    counts = ", ".join(f"{summary[v.value]:,} {phrases.LABELS[v]}" for v in phrases.VERDICTS if summary[v.value])
    found = phrases.count(len(run.findings), "finding")
    return f"{found}: {counts or 'none'}; run {run.id}, {phrases.readable_time(run.finished)}"


def _host(host: HostState, column: int, width: int) -> Iterator[str]:
    name = phrases.visible(host.name)
    state = f"{host.state}, {host.seconds:.1f} s, {phrases.count(host.probes, 'probe')}"
    if host.failed_probes:
        state += f", {phrases.unread(host)}"
    if host.reason:
        state += f": {host.reason}"
    start = f"  {name}{' ' * (column - _columns(name))}  "
    yield from _wrap(state, width, start, " " * min(_columns(start), width // 3))


def _section(title: str, findings: list[Finding], dependents: dict[str, list[Finding]], width: int) -> Iterator[str]:
    if not findings:
        return
    yield from ("", f"{title} ({len(findings):,})")
    roots = phrases.roots(findings, dependents)
    severity = None
    for alike in phrases.by_reason(roots):
        if alike[0].severity is not severity:
            severity = alike[0].severity
            yield f"  {severity.value}"
        yield from _findings(alike, len(dependents.get(alike[0].id, [])), width)
    listed = {finding.id for finding in roots}
    unlisted_roots = Counter(
        f.because for f in findings if f.because and f.because not in listed and f.id not in listed
    )
    for root, number in sorted(unlisted_roots.items()):
        yield from _wrap(f"{phrases.count(number, 'finding depends', 'findings depend')} on {root}", width, "    ")


def _findings(alike: list[Finding], dependents: int, width: int) -> Iterator[str]:
    """Yield the lines of one finding, or of several ones that could not be determined for the same reason."""
    for finding in alike:
        yield f"    {phrases.visible(finding.id)}"
    finding = alike[0]
    if len(alike) == 1:
        yield from _wrap(finding.title, width, _INDENT)
    parts = [("observed", finding.observed)] if finding.observed else []
    if finding.reason:
        parts.append(("reason", finding.reason))
    if finding.because:
        parts.append(("because of", finding.because))
    if finding.waiver:
        parts.append(("waived", phrases.waiver_text(finding.waiver)))
    for label, text in parts:
        text = text if len(text) <= _SHOWN else f"{text[:_SHOWN]} ... ({len(text):,} characters)"
        yield from _wrap(f"{label}: {text}", width, _INDENT, _INDENT + "  ")
    if dependents:
        yield from _wrap(f"{phrases.count(dependents, 'finding depends', 'findings depend')} on it", width, _INDENT)
    for hint in finding.hints:
        yield f"{_INDENT}{phrases.visible(hint)}"
    if finding.remediation and finding.verdict is Verdict.FAIL:
        yield f"{_INDENT}{phrases.visible(phrases.fix_command(finding))}"


def _columns(text: str) -> int:
    """Return the number of terminal columns that a text takes."""
    return sum(0 if unicodedata.combining(char) else 1 + (unicodedata.east_asian_width(char) in "WF") for char in text)


def _wrap(text: str, width: int, first: str = "", rest: str | None = None) -> Iterator[str]:
    """Wrap host text to at most ``width`` columns; a word that is longer than a line is broken."""
    rest = first if rest is None else rest
    line, used, empty = first, _columns(first), True
    for word in _pieces(phrases.visible(text).split(" "), max(width - max(_columns(first), _columns(rest)), 2)):
        if not empty and used + 1 + _columns(word) > width:
            yield line
            line, used, empty = rest, _columns(rest), True
        line += word if empty else f" {word}"
        used += _columns(word) + (not empty)
        empty = False
    yield line


def _pieces(parts: Iterable[str], limit: int) -> Iterator[str]:
    for part in parts:
        piece, used = "", 0
        for char in part:
            wide = _columns(char)
            if used + wide > limit:
                yield piece
                piece, used = "", 0
            piece += char
            used += wide
        yield piece
