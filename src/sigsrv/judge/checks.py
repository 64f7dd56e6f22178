"""Imports the checks in the files of a folder."""

from __future__ import annotations

import hashlib
import importlib.util
import sys
import traceback
from pathlib import Path
from types import ModuleType

from sigsrv.judge.require import Check, policy_of
from sigsrv.model import data, trusted
from sigsrv.model.errors import UsageError


def load_checks(*folders: Path) -> dict[str, Check]:
    """Return the checks in the ``test_*.py`` files of folders, by policy id. A later folder replaces checks of an earlier one.

    Raises UsageError: a file that can't be imported, or two checks for one policy in one folder; also if root would run a file that others
    may write.
    """
    found: dict[str, Check] = {}
    for folder in folders:
        in_folder: dict[str, Check] = {}
        for path in sorted(folder.glob("test_*.py")):
            for value in vars(_import_file(path)).values():
                policy_id = policy_of(value)
                if policy_id and in_folder.setdefault(policy_id, value) is not value:
                    raise UsageError(f"{path}: a second check for policy {policy_id}")
        found |= in_folder
    return found


def _import_file(path: Path) -> ModuleType:
    """Import a file of checks and return its module. The module name comes from the whole path: folders may share file names."""
    if path.parent != data.folder("checks"):  # the shipped checks are as trusted as this code
        trusted.check_for_root(path)
    name = f"_sigsrv_checks_{hashlib.sha256(bytes(path.resolve())).hexdigest()[:12]}_{path.stem}"
    spec = importlib.util.spec_from_file_location(name, path)
    assert spec
    assert spec.loader
    module = importlib.util.module_from_spec(spec)
    sys.modules[name] = module
    try:
        spec.loader.exec_module(module)
    except Exception as cause:
        frames = traceback.extract_tb(cause.__traceback__)
        lines = [frame.lineno for frame in frames if frame.filename == str(path)]
        line = cause.lineno if isinstance(cause, SyntaxError) else lines[-1] if lines else 1
        raise UsageError(f"{path}:{line}: can't be imported: {type(cause).__name__}: {cause}") from cause
    return module
