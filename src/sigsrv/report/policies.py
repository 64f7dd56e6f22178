"""The catalogue as a person reads it: one policy explained, a page of Markdown.

Texts of policies are written by whoever writes policies; they are wrapped, and their control characters spelled out.
"""

from __future__ import annotations

import re
import textwrap
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any

import yaml

from sigsrv.model import data
from sigsrv.model.finding import Severity
from sigsrv.model.fix import PERMANENT
from sigsrv.model.policy import Policy
from sigsrv.model.remediation import Remediation
from sigsrv.report import phrases
from sigsrv.report.policy_table import BOLD, FAMILIES, about, by_family, painted

# What a kind of resource is in a sentence, and what a finding's id names it.
RESOURCES: Mapping[str, tuple[str, str]] = {
    "host": ("each host", "HOST/HOST"),
    "bridge": ("each bridge on each host", "HOST/BRIDGE"),
    "pool": ("each storage pool on each host", "HOST/POOL"),
    "filesystem": ("each file system of each host", "HOST/MOUNT"),
    "hosts": ("what the hosts of the site share, one against the other", "cluster/NAME"),
    "cluster": ("the cluster", "cluster/cluster"),
    "member": ("each member of the cluster", "cluster/MEMBER"),
    "network": ("each network", "cluster/NETWORK"),
    "acl": ("each ACL", "cluster/PROJECT/ACL"),
    "volume": ("each custom volume", "HOST/POOL/PROJECT/VOLUME"),
    "certificate": ("each certificate that is trusted", "cluster/FINGERPRINT"),
    "image": ("each image", "cluster/PROJECT/FINGERPRINT"),
    "project": ("each project", "cluster/PROJECT"),
    "instance": ("each instance", "HOST/PROJECT/INSTANCE"),
    "warning": ("each kind of warning and member", "cluster/TYPE/LOCATION"),
}
_FRAMEWORKS = {"nist-800-53r5": "NIST SP 800-53 r5", "cis-v8": "CIS Controls v8"}


def explanation(
    policy: Policy, remediation: Remediation | None, looked: str, width: int = 80, color: bool = False
) -> str:
    """One policy in full. looked: how a check looks at it, and where that stands; of a rule the rule itself is shown."""
    each, form = RESOURCES[policy.examines]
    scope = f"{policy.severity.value}; family {about(policy.family)}; examines {each}"
    lines = textwrap.wrap(f"{policy.id}: {phrases.visible(policy.title)}", width)
    lines = [painted(line, BOLD, color) for line in lines] + textwrap.wrap(scope, width)
    finding = f"A finding's id is {policy.id}@{form}."
    parts = [
        ("Why", [policy.why]),
        ("How it is looked at", [*_looked(policy, looked), finding]),
        ("What misleads", policy.traps.split("\n\n") if policy.traps else []),
        ("How it is fixed", _fixed(policy, remediation)),
        ("Controls", [_controls(policy)]),
        ("Source", ["; ".join(policy.source)]),
        ("File", [_examples(policy), str(policy.path)]),
    ]
    for title, paragraphs in parts:
        if paragraphs:
            lines += ["", painted(title, BOLD, color)]
            for paragraph in paragraphs:
                lines += _paragraph(paragraph, width)
    return "\n".join(lines) + "\n"


def _paragraph(text: str, width: int) -> list[str]:
    """Wrapped prose; a text with lines of its own (a rule) keeps them."""
    shown = phrases.visible(text, keep="\n")
    if "\n" in shown.strip():
        return textwrap.indent(shown.rstrip("\n"), "    ").splitlines()
    return textwrap.wrap(
        shown, width, initial_indent="  ", subsequent_indent="  ", break_long_words=False, break_on_hyphens=False
    )


def _looked(policy: Policy, looked: str) -> list[str]:
    if policy.rule is None:
        return [looked]
    found = [f"Its facts must keep this rule (JSON Schema), in words: {policy.expected}.", _yaml(policy.rule)]
    if policy.match:
        found += ["The rule concerns only:", _yaml(policy.match)]
    return found


def _yaml(schema: Mapping[str, Any]) -> str:
    text = yaml.safe_dump(dict(schema), default_flow_style=None, sort_keys=False, width=72)
    return text if "\n" in text.strip() else f"{text}\n\n"


def _fixed(policy: Policy, remediation: Remediation | None) -> list[str]:
    if remediation is None:
        return [f"By hand. {policy.by_hand}"]
    _, form = RESOURCES[policy.examines]
    lasting = [name for name, file in PERMANENT.items() if (remediation.folder / file).is_file()]
    return [
        f"{remediation.title} ({remediation.name}).",
        f"Disrupts ({remediation.disruption}): {remediation.disrupts}",
        f"Undo: {remediation.undo}",
        *([f"With it comes a fix that lasts, for {' and '.join(lasting)}."] if lasting else []),
        f"sigsrv-remediate {policy.id}@{form}",
    ]


def _controls(policy: Policy) -> str:
    named = [(_FRAMEWORKS.get(name, name), ids) for name, ids in policy.controls.items() if ids]
    return "; ".join(f"{name}: {', '.join(ids)}" for name, ids in named)


def _examples(policy: Policy) -> str:
    compliant, violating = (len(policy.examples[kind]) for kind in ("compliant", "violating"))
    return f"{compliant} compliant and {violating} violating examples: sigsrv policies test {policy.id}"


def page(policies: Sequence[Policy], remediations: Mapping[str, Remediation]) -> str:
    """The catalogue as a page of Markdown, by family."""
    lines = [
        "# The policies",
        "",
        "Written by `make docs` from the policies' own files; `sigsrv explain ID` tells more of each.",
        "",
    ]
    lines += [counts(policies)]
    for family, members in by_family(policies):
        lines += ["", f"## {about(family)}"]
        for each in members:
            lines += ["", *_section(each, remediations)]
    return "\n".join(lines) + "\n"


def counts(policies: Sequence[Policy], page: str = "") -> str:
    """A table of Markdown: how many policies each family has, by severity, and how many a script puts right.

    page: where the page of the policies is, as seen from the document that has the table.
    """
    head = ["family", "about", *(severity.value for severity in Severity), "all", "by script"]
    rows = [(f"[{f}]({page}#{_anchor(about(f))})", FAMILIES.get(f, ""), found) for f, found in by_family(policies)]
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
    """A heading as a fragment, as GitHub and GitLab make it."""
    return re.sub(r"[^a-z0-9 -]", "", heading.lower()).replace(" ", "-")


def _prose(text: str) -> str:
    """Text of a policy as Markdown that shows it as it is."""
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
        yield f"*What misleads:* {_prose(policy.traps)}"
    yield ""
    if policy.remediation:
        named = remediations[policy.remediation]
        yield f"*Fixed by* [`{named.name}`](../remediations/{named.name}/): {_prose(named.title)}. *Undo:* {_prose(named.undo)}"
    else:
        yield f"*Fixed by hand:* {_prose(policy.by_hand)}"
    yield ""
    said = [f"*Controls:* {_controls(policy)}", f"*Source:* {_prose('; '.join(policy.source))}"]
    if data.folder("policies") in policy.path.parents:
        said.append(f"[file](../policies/{policy.family}/{policy.id}.yaml)")
    yield " · ".join(said)
