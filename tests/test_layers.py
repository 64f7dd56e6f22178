"""The layers of the design page, held against the imports of the code: folders in order, and no circle within one."""

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
    """The height of each folder, from the design page's line ``model → collect → ...``; those between commas are of one height."""
    page = (ROOT / "docs" / "design.md").read_text(encoding="utf-8")
    (line,) = re.findall(r"^ {4}(model → .+)$", page, re.MULTILINE)
    return {name: height for height, names in enumerate(line.split(" → ")) for name in names.split(", ")}


def _imported(path: Path) -> set[str]:
    """The modules of the package that a file imports, as ``folder.module``; a folder alone where no module is named."""
    found = set()
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.ImportFrom) and (node.module or "").startswith("sigsrv."):
            module = str(node.module).removeprefix("sigsrv.")
            found |= {module} if "." in module else {f"{module}.{alias.name}" for alias in node.names}
        elif isinstance(node, ast.Import):
            found |= {alias.name.removeprefix("sigsrv.") for alias in node.names if alias.name.startswith("sigsrv.")}
    return found


def test_the_page_names_each_folder_once():
    """The order is that of all folders, and of no other."""
    assert sorted(_order()) == FOLDERS


@pytest.mark.parametrize("folder", FOLDERS)
def test_a_folder_imports_only_from_those_before_it(folder):
    """No import goes up, or sideways."""
    order = _order()
    wrong = {
        f"{path.name}: {module}"
        for path in (PACKAGE / folder).glob("*.py")
        for module in _imported(path)
        if (other := module.partition(".")[0]) != folder and order[other] >= order[folder]
    }

    assert wrong == set()


def test_no_files_import_each_other_in_a_circle():
    """Each file can be read when those that it imports were read."""
    graph = {f"{path.parent.name}.{path.stem}": _imported(path) for path in FILES}

    assert list(TopologicalSorter(graph).static_order())  # raises CycleError


@pytest.mark.parametrize("folder", FOLDERS)
def test_a_folder_says_what_lives_there_and_what_does_not(folder):
    """Its ``__init__`` is that text, and nothing else: whoever imports one file pays for no other."""
    (text,) = ast.parse((PACKAGE / folder / "__init__.py").read_text(encoding="utf-8")).body
    lines = ast.get_docstring(ast.Module([text], [])).splitlines()

    assert len(lines) == 3
    assert re.search(r"\b(no|not|Nothing|never|Only)\b", lines[2])


@pytest.mark.parametrize("path", FILES, ids=lambda path: str(path.relative_to(PACKAGE)))
def test_a_module_is_no_longer_than_a_person_reads(path):
    """A file past 400 lines has a second subject in it."""
    assert len(path.read_text(encoding="utf-8").splitlines()) <= 400
