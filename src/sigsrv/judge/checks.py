"""The checks of a folder, imported from its files."""

from __future__ import annotations

import hashlib
import importlib.util
import sys
import traceback
from pathlib import Path
from types import ModuleType

from sigsrv.judge.require import Check, policy_of
from sigsrv.model.errors import UsageError


def load_checks(*folders: Path) -> dict[str, Check]:
    """The checks of the ``test_*.py`` of some folders, by policy id; a later folder replaces what an earlier one has.

    Raises UsageError: a file that can't be imported, two checks of one id in one folder.
    """
    found: dict[str, Check] = {}
    for folder in folders:
        here: dict[str, Check] = {}
        for path in sorted(folder.glob("test_*.py")):
            for member in vars(_imported(path)).values():
                policy_id = policy_of(member)
                if policy_id and here.setdefault(policy_id, member) is not member:
                    raise UsageError(f"{path}: a second check of {policy_id}")
        found |= here
    return found


def _imported(path: Path) -> ModuleType:
    """A file of checks as a module. Its name is made of the whole path: each folder may have a ``test_net.py``."""
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
