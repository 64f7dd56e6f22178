"""Generates docs/policies.md and the README's table of policies from the files of the catalogue, and docs/facts.md from the code."""

from __future__ import annotations

import re
from pathlib import Path

from sigsrv.authoring.fact_tree import Demo
from sigsrv.model import policy, remediation
from sigsrv.report import facts, policies

ROOT = Path(__file__).resolve().parents[1]
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
        ROOT / "docs" / "facts.md": facts.markdown_page(Demo().tables()),
        ROOT / "README.md": counted,
    }


if __name__ == "__main__":
    for path, text in documents().items():
        path.write_text(text, encoding="utf-8")
