"""The HTML report of a run: one self-contained page from the templates in ``reports/``.

Text from hosts is hostile. By default, the template engine escapes everything that a template prints and shows control
characters as escapes. The page's content security policy allows only the page's own style and script.
"""

from __future__ import annotations

import base64
import hashlib
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from itertools import groupby
from typing import Any
from urllib.parse import quote

import jinja2
from markupsafe import Markup, escape

from sigsrv.judge.require import ANSWERS
from sigsrv.model import data
from sigsrv.model.finding import Finding, Run, Severity, Verdict, finding_id, rfc3339
from sigsrv.model.fix import Fix
from sigsrv.model.policy import Policy, family_of
from sigsrv.report import phrases


@dataclass(frozen=True)
class Group:
    """The findings of one policy.

    policy: None if no policy file exists for the check, for example for a user's own testinfra test.
    """

    id: str
    title: str
    severity: Severity
    policy: Policy | None
    findings: Sequence[Finding]


def render(run: Run, policies: Mapping[str, Policy], fixes: Mapping[str, Fix]) -> str:
    """Return the HTML page of a run. It loads nothing from outside the page. fixes: by finding id."""
    environment = _environment()
    style, script = (
        (data.folder("reports") / name).read_text(encoding="utf-8") for name in ("report.css", "report.js")
    )
    by_verdict = {verdict: [f for f in run.findings if f.verdict is verdict] for verdict in Verdict}
    by_root = phrases.findings_by_root(run)
    alike = phrases.by_reason(phrases.roots(by_verdict[Verdict.ERROR], by_root))
    return environment.get_template("report.html.j2").render(
        run=run,
        style=Markup(style),  # noqa: S704  our own file
        script=Markup(script),  # noqa: S704  our own file
        style_hash=_hash(style),
        script_hash=_hash(script),
        headline=phrases.headline(run),
        tone=phrases.overall_verdict(run),
        duration=_duration(run),
        verdicts=phrases.VERDICTS,
        labels=phrases.LABELS,
        severities=list(Severity),
        by_verdict=by_verdict,
        failures=_groups(by_verdict[Verdict.FAIL], policies),
        errors=_groups((group[0] for group in alike if len(group) == 1), policies),
        alike_errors=[group for group in alike if len(group) > 1],
        dependent_errors=_by_root(f for f in by_verdict[Verdict.ERROR] if f.because and f.id not in by_root),
        findings_by_root=by_root,
        families=sorted({family_of(f.policy) for f in run.findings}),
        hosts=_hosts(run),
        matrix=_matrix(run),
        read_all=bool(run.findings) and all(host.state == "ok" for host in run.hosts),
        waiver_counts=phrases.waiver_counts(run),
        ids=frozenset(f.id for f in run.findings),
        fixes=fixes,
    )


def _environment() -> jinja2.Environment:
    environment = jinja2.Environment(
        loader=jinja2.FileSystemLoader(data.folder("reports")),
        autoescape=True,
        undefined=jinja2.StrictUndefined,
        finalize=_finalize,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters |= {
        "text": _text,
        "code": _code,
        "prose": _prose,
        "anchor": _anchor,
        "family": family_of,
        "readable_time": phrases.readable_time,
        "rfc3339": rfc3339,
        "worst_first": phrases.worst_first,
    }
    environment.globals |= {
        "count": phrases.count,
        "unread": phrases.unread,
        "unanswered_id": lambda host: finding_id(ANSWERS, host, host),
        "fix_command": phrases.fix_command,
        "waiver_status": phrases.waiver_status,
    }
    return environment


def _finalize(value: Any) -> Any:
    """Show control characters as escapes in everything that a template prints, attributes included.

    Autoescape escapes the HTML.
    """
    return phrases.visible(value) if isinstance(value, str) and not isinstance(value, Markup) else value


def _text(value: str, keep: str = "") -> Markup:
    """Return host text for an element: like ``_finalize``, and the escapes are marked as hidden characters.

    keep: characters that stay as they are.
    """
    if phrases.is_plain(value, keep):
        return escape(value)
    marked = Markup('<span class="hidden-character">{}</span>')
    return Markup("").join(
        marked.format(phrases.escaped(char)) if phrases.is_hidden(char) and char not in keep else escape(char)
        for char in value
    )


def _code(value: str) -> Markup:
    """Return a script as host text that keeps its newlines and tabs."""
    return _text(value.rstrip("\n"), keep="\n\t")


def _prose(value: str) -> Markup:
    """Return text of a policy as HTML paragraphs; an empty line separates two paragraphs."""
    return Markup("").join(
        Markup("<p>{}</p>").format(_text(" ".join(part.split()))) for part in value.split("\n\n") if part.strip()
    )


def _anchor(finding: str) -> str:
    """Return the HTML element id of a finding: the same in every run.

    The percent signs of the finding id stay: a browser compares a URL fragment with an element id as it is.
    """
    return quote(finding, safe="@/._:-%")


def _hash(text: str) -> str:
    return "sha256-" + base64.b64encode(hashlib.sha256(text.encode()).digest()).decode()


def _duration(run: Run) -> float | None:
    try:
        return (datetime.fromisoformat(run.finished) - datetime.fromisoformat(run.started)).total_seconds()
    except (ValueError, TypeError):
        return None


def _groups(findings: Iterable[Finding], policies: Mapping[str, Policy]) -> list[Group]:
    return [
        Group(key[1], key[2], key[0], policies.get(key[1]), list(members))
        for key, members in groupby(phrases.worst_first(findings), key=lambda f: (f.severity, f.policy, f.title))
    ]


def _by_root(findings: Iterable[Finding]) -> dict[str, list[Finding]]:
    found: dict[str, list[Finding]] = {}
    for finding in phrases.worst_first(findings):
        found.setdefault(finding.because or "", []).append(finding)
    return found


def _hosts(run: Run) -> list[str]:
    """Return the hosts of the run in its order, then the other scopes that findings name (``cluster``)."""
    return list(dict.fromkeys([host.name for host in run.hosts] + sorted({f.host for f in run.findings})))


def _matrix(run: Run) -> dict[str, dict[str, int]]:
    """Count, for each host, the failures by severity and the other findings by verdict."""
    columns = [severity.value for severity in Severity] + [v.value for v in phrases.VERDICTS if v is not Verdict.FAIL]
    matrix = {host: dict.fromkeys(columns, 0) for host in _hosts(run)}
    for finding in run.findings:
        key = finding.severity.value if finding.verdict is Verdict.FAIL else finding.verdict.value
        matrix[finding.host][key] += 1
    return matrix
