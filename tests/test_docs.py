"""The documents, held against the code."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from sigsrv import policy
from sigsrv.evaluate import holds

ROOT = Path(__file__).resolve().parents[1]
README = (ROOT / "README.md").read_text(encoding="utf-8")
CONTRIBUTING = (ROOT / "CONTRIBUTING.md").read_text(encoding="utf-8")
POLICIES = policy.load()


def test_the_readme_s_table_is_the_catalogue():
    """Each policy with its title and its remediation stands in the README, and no other."""
    rows = re.findall(r"^\| ([A-Z]+-\d{3}) \| (.+?) \| `?([a-z -]+?)`? \|$", README, re.MULTILINE)

    assert sorted(rows) == sorted((p.id, p.title, p.remediation or "a person") for p in POLICIES.values())


def test_the_contributing_s_rule_is_a_policy(tmp_path):
    """The example of CONTRIBUTING, saved as it says, loads, and its examples show what they say."""
    text = next(block for block in re.findall(r"```yaml\n(.*?)```", CONTRIBUTING, re.DOTALL) if "id: PROJ-099" in block)
    folder = tmp_path / "proj"
    folder.mkdir()
    (folder / "PROJ-099.yaml").write_text(text)

    found = policy.load([tmp_path])["PROJ-099"]

    assert [holds(found, example) for example in found.examples["compliant"]] == [True]
    assert [holds(found, example) for example in found.examples["violating"]] == [False]


@pytest.mark.parametrize(
    "name", ["README.md", "CONTRIBUTING.md", "CHANGELOG.md", "docs/design.md", "docs/decisions.md", "lab/README.md"]
)
def test_links_lead_somewhere(name):
    """Each relative link of a document is a file of the project."""
    path = ROOT / name
    links = re.findall(r"\]\((?!https?:)([^)#]+)", path.read_text()) + re.findall(
        r'(?:src|srcset)="([^"]+)"', path.read_text()
    )

    assert [link for link in links if not (path.parent / link).exists()] == []


def test_the_makefile_has_the_targets_that_are_promised():
    """demo, test, check, lab and lab-down are there."""
    targets = set(re.findall(r"^([a-z-]+):", (ROOT / "Makefile").read_text(), re.MULTILINE))

    assert {"demo", "test", "check", "lab", "lab-down"} <= targets
