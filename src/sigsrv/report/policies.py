"""The catalogue for people: the explanation of one policy, and all policies as a Markdown page.

Users write policies too, so policy text is wrapped and its control characters are shown as escapes.
"""

from __future__ import annotations

import re
import textwrap
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any

import yaml

from sigsrv.model import data, yamlfile
from sigsrv.model.finding import Severity
from sigsrv.model.fix import PERMANENT
from sigsrv.model.policy import FORM_KEYS, Policy
from sigsrv.model.remediation import Remediation
from sigsrv.report import forms, phrases
from sigsrv.report.policy_table import BOLD, FAMILIES, by_family, family_label, styled

# For each kind of resource: its name in a sentence, and its part of a finding id.
RESOURCES: Mapping[str, tuple[str, str]] = {
    "host": ("each host", "HOST/HOST"),
    "bridge": ("each bridge on each host", "HOST/BRIDGE"),
    "pool": ("each storage pool on each host", "HOST/POOL"),
    "filesystem": ("each file system of each host", "HOST/MOUNT"),
    "hosts": ("what all hosts of the site must have in common", "cluster/NAME"),
    "cluster": ("the cluster", "cluster/cluster"),
    "member": ("each member of the cluster", "cluster/MEMBER"),
    "network": ("each network", "cluster/NETWORK"),
    "acl": ("each ACL", "cluster/PROJECT/ACL"),
    "volume": ("each custom volume", "HOST/POOL/PROJECT/VOLUME"),
    "certificate": ("each trusted certificate", "cluster/FINGERPRINT"),
    "image": ("each image", "cluster/PROJECT/FINGERPRINT"),
    "project": ("each project", "cluster/PROJECT"),
    "profile": ("each profile", "cluster/PROJECT/PROFILE"),
    "instance": ("each instance", "HOST/PROJECT/INSTANCE"),
    "warning": ("each warning type on each member", "cluster/TYPE/LOCATION"),
}
_FLOW = 64  # characters of a mapping that is written on one line
_SOFT = 44  # columns, after which a word ends the line
_FRAMEWORKS = {"nist-800-53r5": "NIST SP 800-53 r5", "cis-v8": "CIS Controls v8"}


def explanation(
    policy: Policy, remediation: Remediation | None, check_text: str, width: int = 80, color: bool = False
) -> str:
    """Return the full text of one policy.

    check_text: what the check does and where it is defined; a policy with a rule shows its rule instead.
    width: columns.
    """
    each, form = RESOURCES[policy.examines]
    scope = f"{policy.severity.value}; family {family_label(policy.family)}; examines {each}"
    lines = textwrap.wrap(f"{policy.id}: {phrases.visible(policy.title)}", width)
    lines = [styled(line, BOLD, color) for line in lines] + textwrap.wrap(scope, width)
    finding = f"Finding id: {policy.id}@{form}"
    parts = [
        ("Why", [policy.why]),
        ("How it is checked", [*_decided_by(policy, check_text, width), *_stands_on(policy), finding]),
        ("Traps", policy.traps.split("\n\n") if policy.traps else []),
        ("How to fix it", _fix_text(policy, remediation)),
        ("Controls", [_controls(policy)]),
        ("Source", ["; ".join(policy.source)]),
        ("File", [_examples(policy), str(policy.path)]),
    ]
    for title, paragraphs in parts:
        if paragraphs:
            lines += ["", styled(title, BOLD, color)]
            for paragraph in paragraphs:
                lines += _paragraph(paragraph, width)
    return "\n".join(lines) + "\n"


def _paragraph(text: str, width: int) -> list[str]:
    """Wrap a text; a text of several lines (a rule) keeps its lines."""
    shown = phrases.visible(text, keep="\n")
    if "\n" in shown.strip():
        return textwrap.indent(shown.rstrip("\n"), "    ").splitlines()
    return textwrap.wrap(
        shown, width, initial_indent="  ", subsequent_indent="  ", break_long_words=False, break_on_hyphens=False
    )


def _decided_by(policy: Policy, check_text: str, width: int) -> list[str]:
    if policy.forms.names:
        return _forms(policy, width)
    if policy.rule is None:
        return [check_text]
    found = [f"The facts must match this rule (JSON Schema). In words: {policy.expected}.", _yaml(policy.rule)]
    if policy.match:
        found += ["The rule applies only to resources that match:", _yaml(policy.match)]
    return found


def _stands_on(policy: Policy) -> list[str]:
    return [f"Stands on: {', '.join(policy.looks_at)}"] if policy.looks_at else []


def _forms(policy: Policy, width: int) -> list[str]:
    """Return the forms of a policy as its file has them, and what each of their keys means."""
    content = yamlfile.load(policy.path, before="examples:").data
    own = {key: content[key] for key in (*FORM_KEYS, "match") if key in content}
    names = " and ".join(policy.forms.names)
    words = f" In words: {policy.expected}." if policy.expected else ""
    found = [f"By the form{'s' if len(policy.forms.names) > 1 else ''} {names}, without Python.{words}", _yaml(own)]
    rows = forms.meanings(own)
    rows += [("match", "Only resources that match this JSON Schema have a finding.")] if "match" in own else []
    return [*found, "What its keys mean:", "\n".join(forms.definitions(rows, width - 4, indent=""))]


class _Dumper(yaml.SafeDumper):
    """Writes lists and mappings on one line if they are short."""

    def represent_mapping(self, tag: str, mapping: Any, flow_style: bool | None = None) -> yaml.MappingNode:
        node = super().represent_mapping(tag, mapping, flow_style)
        node.flow_style &= len(str(mapping)) < _FLOW
        return node

    def increase_indent(self, flow: bool = False, indentless: bool = False) -> None:  # noqa: ARG002  lists are indented
        super().increase_indent(flow, False)


def _yaml(content: Mapping[str, Any]) -> str:
    text = yaml.dump(dict(content), Dumper=_Dumper, default_flow_style=None, sort_keys=False, width=_SOFT)
    return text if "\n" in text.strip() else f"{text}\n\n"


def _fix_text(policy: Policy, remediation: Remediation | None) -> list[str]:
    if remediation is None:
        return [f"By hand: {policy.by_hand}", *([f"Why no script: {policy.why_by_hand}"] if policy.why_by_hand else [])]
    _, form = RESOURCES[policy.examines]
    lasting = [name for name, file in PERMANENT.items() if (remediation.folder / file).is_file()]
    return [
        f"{remediation.title} ({remediation.name}).",
        f"Disrupts ({remediation.disruption}): {remediation.disrupts}",
        f"Undo: {remediation.undo}",
        *([f"It also gives a permanent fix, for {' and '.join(lasting)}."] if lasting else []),
        f"sigsrv-remediate {policy.id}@{form}",
    ]


def _controls(policy: Policy) -> str:
    named = [(_FRAMEWORKS.get(name, name), ids) for name, ids in policy.controls.items() if ids]
    return "; ".join(f"{name}: {', '.join(ids)}" for name, ids in named)


def _examples(policy: Policy) -> str:
    compliant, violating = (len(policy.examples[kind]) for kind in ("compliant", "violating"))
    return f"{compliant} compliant and {violating} violating examples: sigsrv policies test {policy.id}"


def markdown_page(policies: Sequence[Policy], remediations: Mapping[str, Remediation]) -> str:
    """Return the catalogue as a Markdown page, by family."""
    lines = [
        "# The policies",
        "",
        "`make docs` generates this page from the policy files. `sigsrv explain ID` shows more about one policy.",
        "",
    ]
    lines += [markdown_counts(policies)]
    for family, members in by_family(policies):
        lines += ["", f"## {family_label(family)}"]
        for each in members:
            lines += ["", *_section(each, remediations)]
    return "\n".join(lines) + "\n"


def markdown_counts(policies: Sequence[Policy], page: str = "") -> str:
    """Return a Markdown table: the number of policies of each family, by severity, and how many have a script that fixes them.

    page: path of the page of policies, relative to the document that shows the table.
    """
    head = ["family", "about", *(severity.value for severity in Severity), "all", "fixed by script"]
    rows = [
        (f"[{f}]({page}#{_anchor(family_label(f))})", FAMILIES.get(f, ""), found) for f, found in by_family(policies)
    ]
    rows.append(("all", "", list(policies)))
    lines = [_row(head), _row(["---"] * 2 + ["---:"] * (len(head) - 2))]
    for family, text, members in rows:
        numbers = [sum(each.severity is severity for each in members) for severity in Severity]
        scripted = sum(each.remediation is not None for each in members)
        lines.append(
            _row([family, text, *(str(number or "") for number in numbers), str(len(members)), str(scripted or "")])
        )
    return "\n".join(lines)


def _anchor(heading: str) -> str:
    """Return the fragment that GitHub and GitLab make of a heading."""
    return re.sub(r"[^a-z0-9 -]", "", heading.lower()).replace(" ", "-")


def _prose(text: str) -> str:
    """Escape policy text for Markdown."""
    return re.sub(r"([\\`*<\[|])", r"\\\1", " ".join(text.split()))


def _row(cells: Iterable[str]) -> str:
    return f"| {' | '.join(cells)} |"


def _section(policy: Policy, remediations: Mapping[str, Remediation]) -> Iterator[str]:
    each, form = RESOURCES[policy.examines]
    yield f"### {policy.id} {_prose(policy.title)}"
    yield ""
    yield f"**{policy.severity.value}** · {each} · `{policy.id}@{form}`"
    yield ""
    yield _prose(policy.why)
    if policy.traps:
        yield ""
        yield f"*Traps:* {_prose(policy.traps)}"
    yield ""
    named = remediations.get(policy.remediation or "")
    if named:
        yield f"*Fixed by* [`{named.name}`](../remediations/{named.name}/): {_prose(named.title)}. *Undo:* {_prose(named.undo)}"
    else:
        yield f"*Fixed by hand:* {_prose(policy.by_hand)}"
        if policy.why_by_hand:
            yield ""
            yield f"*Why no script:* {_prose(policy.why_by_hand)}"
    yield ""
    if policy.looks_at:
        yield f"*Stands on:* {', '.join(f'`{_prose(name)}`' for name in policy.looks_at)}"
        yield ""
    links = [f"*Controls:* {_controls(policy)}", f"*Source:* {_prose('; '.join(policy.source))}"]
    if data.folder("policies") in policy.path.parents:
        links.append(f"[file](../policies/{policy.family}/{policy.id}.yaml)")
    yield " · ".join(links)
