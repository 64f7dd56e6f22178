"""Locates the content folders (policies, checks, remediations, reports) and writes private files.

In a checkout, the content folders are at its root. In a wheel, they are inside the package.
"""

from __future__ import annotations

import os
import pwd
import tempfile
from functools import cache
from pathlib import Path

from sigsrv.model.errors import UsageError

PACKAGE = Path(__file__).resolve().parents[1]
_CHECKOUT = PACKAGE.parents[1]
_IN_CHECKOUT = (_CHECKOUT / "policies" / "schema").is_dir() and not (PACKAGE / "policies").is_dir()

DEMO = PACKAGE / "demo"
INCUS_KEYS = PACKAGE / "incus_keys"


def folder(name: str) -> Path:
    """Return the content folder ``name``: ``policies``, ``checks``, ``remediations`` or ``reports``."""
    return (_CHECKOUT if _IN_CHECKOUT else PACKAGE) / name


def schema(kind: str) -> Path:
    """Return the path of the JSON Schema for a kind of file: ``site``, ``policy``, ``waivers`` or ``remediation``."""
    return folder("policies") / "schema" / f"{kind}.schema.json"


def modeline(kind: str, place: Path | None) -> str:
    """Return the first line of a YAML file, from which an editor finds the JSON Schema.

    place: the folder of the file; None if unknown. Inside the checkout the path is relative, because a checkout may move.
    Elsewhere it is a ``file://`` URI.
    """
    found = schema(kind)
    inside = place is not None and _IN_CHECKOUT and _CHECKOUT in (place.resolve(), *place.resolve().parents)
    address = os.path.relpath(found, place.resolve()) if inside and place else found.as_uri()
    return f"# yaml-language-server: $schema={address}\n"


def checkout_site() -> Path | None:
    """Return ``policies/site.yaml`` of the checkout; None if sigsrv is installed, where that file is only an example."""
    return _CHECKOUT / "policies" / "site.yaml" if _IN_CHECKOUT else None


def output_folder() -> Path:
    """Return the folder for runs: ``reports/out`` of the checkout, or ``runs`` in the state directory."""
    if _IN_CHECKOUT:
        return _CHECKOUT / "reports" / "out"
    return state_folder() / "runs"


def state_folder() -> Path:
    """Return the state directory of this account: ``$XDG_STATE_HOME/sigsrv``, else ``~/.local/state/sigsrv``.

    As https://specifications.freedesktop.org/basedir-spec/ says, a relative $XDG_STATE_HOME does not count.
    """
    home = Path(os.environ.get("XDG_STATE_HOME", ""))
    return (home if home.is_absolute() else _home() / ".local" / "state") / "sigsrv"


@cache
def _home() -> Path:
    """Return the home of the account that runs sigsrv, not $HOME: sudo may keep that of the caller. Raises UsageError if there is none."""
    uid = os.geteuid()
    try:
        return Path(pwd.getpwuid(uid).pw_dir)
    except KeyError as cause:
        raise UsageError(f"uid {uid} is no account of this machine, so it has no home", "set XDG_STATE_HOME") from cause


def write_private(path: Path, text: str, replace: bool = True) -> Path:
    """Write a file that only its owner can read (mode 0600), and return its path. The write is atomic.

    replace: overwrite an existing file. Raises OSError, also if the file exists and ``replace`` is false.
    """
    handle, name = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.")  # mkstemp makes it 0600
    try:
        with os.fdopen(handle, "w", encoding="utf-8") as file:
            file.write(text)
            file.flush()
            os.fsync(file.fileno())  # a power cut after the rename must not leave an empty file
        if replace:
            Path(name).replace(path)
        else:
            os.link(name, path)  # unlike a rename, a link never replaces an existing file
            Path(name).unlink()
    except BaseException:
        Path(name).unlink(missing_ok=True)
        raise
    return path
