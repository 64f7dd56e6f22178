"""Generates documents from the files of the catalogue and from the code.

docs/policies.md and the README's table of policies come from the policies, docs/facts.md from the classes of facts, docs/forms.md and the
part of policies/schema/policy.schema.json about forms from the classes of forms, docs/touches.md's table of what a state picture leaves out
from the code that reads it.
"""

from __future__ import annotations

import json
import re
from pathlib import Path

from sigsrv.authoring.fact_tree import Demo
from sigsrv.model import policy, records, remediation
from sigsrv.model.forms import Forms
from sigsrv.remediate.picture_kernel import LEFT_OUT
from sigsrv.report import facts, forms, policies

ROOT = Path(__file__).resolve().parents[1]
_LEFT_OUT = re.compile(r"(<!-- left out: make docs -->\n).*?(<!-- /left out -->)", re.DOTALL)
_TABLE = re.compile(r"(<!-- counts: make docs -->\n).*?(<!-- /counts -->)", re.DOTALL)


def documents() -> dict[Path, str]:
    """Return the new text of each generated document, by path."""
    found = list(policy.load().values())
    readme = (ROOT / "README.md").read_text(encoding="utf-8")
    counted = _TABLE.sub(
        lambda match: f"{match[1]}{policies.markdown_counts(found, 'docs/policies.md')}\n{match[2]}", readme
    )
    return {
        ROOT / "docs" / "policies.md": policies.markdown_page(found, remediation.load()),
        ROOT / "docs" / "forms.md": forms.markdown_page(found),
        ROOT / "docs" / "facts.md": facts.markdown_page(Demo().tables()),
        ROOT / "docs" / "touches.md": _LEFT_OUT.sub(
            lambda match: f"{match[1]}{left_out()}\n{match[2]}",
            (ROOT / "docs" / "touches.md").read_text(encoding="utf-8"),
        ),
        ROOT / "README.md": counted,
        ROOT / "policies" / "schema" / "policy.schema.json": policy_schema(),
    }


def left_out() -> str:
    """Return the table of what a state picture leaves out, by kind."""
    return "\n".join(
        ["| of | left out |", "| --- | --- |", *(f"| {kind} | {what} |" for kind, what in LEFT_OUT.items())]
    )


def policy_schema() -> str:
    """Return the JSON Schema of policy files with the present forms. All other parts of the file are kept."""
    path = ROOT / "policies" / "schema" / "policy.schema.json"
    found = json.loads(path.read_text(encoding="utf-8"))
    of_forms = records.definition(Forms)["properties"]
    own = [kind.__name__.lower() for kind in records.records_of(Forms)]
    found["properties"] |= of_forms
    found["$defs"] = {"change": found["$defs"]["change"]} | {
        "value": dict(records.VALUE_SCHEMA),
        **{
            name: records.definition(kind)
            for name, kind in zip(own, records.records_of(Forms), strict=True)
            if kind is not Forms
        },
    }
    return json.dumps(found, indent=2, ensure_ascii=False) + "\n"


if __name__ == "__main__":
    (ROOT / "policies" / "schema" / "policy.schema.json").write_text(
        policy_schema(), encoding="utf-8"
    )  # reading policies needs it
    for path, text in documents().items():
        path.write_text(text, encoding="utf-8")
