"""Tests that imports follow the layers of the design page: folders in order, and no circular imports."""

from __future__ import annotations

import ast
import re
from graphlib import TopologicalSorter
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]
PACKAGE = ROOT / "src" / "sigsrv"
FOLDERS = sorted(path.parent.name for path in PACKAGE.glob("*/__init__.py"))
FILES = sorted(path for path in PACKAGE.rglob("*.py") if path != PACKAGE / "__init__.py")


def _order() -> dict[str, int]:
    """Return the level of each folder, from the line ``model → collect → ...`` in the design page.

    Folders that a comma separates have the same level.
    """
    page = (ROOT / "docs" / "design.md").read_text(encoding="utf-8")
    (line,) = re.findall(r"^ {4}(model → .+)$", page, re.MULTILINE)
    return {name: level for level, names in enumerate(line.split(" → ")) for name in names.split(", ")}


def _imported(path: Path) -> set[str]:
    """Return the modules of the package that a file imports, as ``folder.module``, or the folder if no module is named."""
    found = set()
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.ImportFrom) and (node.module or "").startswith("sigsrv."):
            module = str(node.module).removeprefix("sigsrv.")
            found |= {module} if "." in module else {f"{module}.{alias.name}" for alias in node.names}
        elif isinstance(node, ast.Import):
            found |= {alias.name.removeprefix("sigsrv.") for alias in node.names if alias.name.startswith("sigsrv.")}
    return found


def test_design_page_names_each_folder_once():
    """Its order has all folders of the package, and no others."""
    assert sorted(_order()) == FOLDERS


@pytest.mark.parametrize("folder", FOLDERS)
def test_folder_imports_only_from_lower_levels(folder):
    """No folder imports from a higher level, or from another folder of its level."""
    order = _order()
    wrong = {
        f"{path.name}: {module}"
        for path in (PACKAGE / folder).glob("*.py")
        for module in _imported(path)
        if (other := module.partition(".")[0]) != folder and order[other] >= order[folder]
    }

    assert wrong == set()


def test_files_have_no_circular_imports():
    """Each file can be read after those that it imports."""
    graph = {f"{path.parent.name}.{path.stem}": _imported(path) for path in FILES}

    assert list(TopologicalSorter(graph).static_order())  # raises CycleError


@pytest.mark.parametrize("folder", FOLDERS)
def test_folder_describes_its_content(folder):
    """``__init__`` has only a docstring, which also says what does not belong there. Importing a module loads no other."""
    (text,) = ast.parse((PACKAGE / folder / "__init__.py").read_text(encoding="utf-8")).body
    lines = ast.get_docstring(ast.Module([text], [])).splitlines()

    assert len(lines) == 3
    assert re.search(r"\b(no|not|Nothing|never|Only)\b", lines[2])


@pytest.mark.parametrize("path", FILES, ids=lambda path: str(path.relative_to(PACKAGE)))
def test_module_is_short_enough_to_read(path):
    """A file of more than 400 lines covers a second subject."""
    assert len(path.read_text(encoding="utf-8").splitlines()) <= 400
