"""The layers of the design page, held against the imports of the code."""

from __future__ import annotations

import ast
import re
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]
PACKAGE = ROOT / "src" / "sigsrv"


def _lines() -> dict[str, int]:
    """The height of each module, by name: the lowest line of the page is 0."""
    page = (ROOT / "docs" / "design.md").read_text(encoding="utf-8")
    block = page.split("## The layers", 1)[1].split("\n", 1)[1].split("\n\n", 1)[0]
    rows = [re.findall(r"([a-z_]+)/?", re.split(r"\s{3,}", row.strip())[0]) for row in block.strip().splitlines()]
    return {name: height for height, names in enumerate(reversed(rows)) for name in names}


def _top(path: Path) -> str:
    return path.relative_to(PACKAGE).parts[0].removesuffix(".py")


def _imported(path: Path) -> set[str]:
    found = set()
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.ImportFrom) and node.module == "sigsrv":
            found |= {alias.name for alias in node.names if not alias.name.startswith("__")}
        elif isinstance(node, ast.ImportFrom) and (node.module or "").startswith("sigsrv."):
            found.add(str(node.module).split(".")[1])
        elif isinstance(node, ast.Import):
            found |= {alias.name.split(".")[1] for alias in node.names if alias.name.startswith("sigsrv.")}
    return found


FILES = sorted(path for path in PACKAGE.rglob("*.py") if path != PACKAGE / "__init__.py")


@pytest.mark.parametrize("path", FILES, ids=lambda path: str(path.relative_to(PACKAGE)))
def test_a_module_imports_only_from_the_lines_below_its_own(path):
    """No import goes up, or sideways, in the design page's layers."""
    lines = _lines()
    own = _top(path)

    assert own in lines, f"{own} is not in the layers of docs/design.md"
    assert {name for name in _imported(path) if name != own and lines[name] >= lines[own]} == set()


def test_every_layer_has_its_module():
    """The page names no module that is not there."""
    assert {
        name for name in _lines() if not (PACKAGE / f"{name}.py").exists() and not (PACKAGE / name).is_dir()
    } == set()


@pytest.mark.parametrize("path", FILES, ids=lambda path: str(path.relative_to(PACKAGE)))
def test_a_module_is_no_longer_than_a_person_reads(path):
    """A file past 400 lines has a second subject in it."""
    assert len(path.read_text(encoding="utf-8").splitlines()) <= 400
