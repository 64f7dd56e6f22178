"""Where the folders of content are (policies, checks, remediations, reports), and how private files are written.

In a checkout they stand at its root, in a wheel inside the package.
"""

from __future__ import annotations

import os
import tempfile
from pathlib import Path

import platformdirs

PACKAGE = Path(__file__).resolve().parents[1]
_CHECKOUT = PACKAGE.parents[1]
_IN_CHECKOUT = (_CHECKOUT / "policies" / "schema").is_dir() and not (PACKAGE / "policies").is_dir()

DEMO = PACKAGE / "demo"


def folder(name: str) -> Path:
    """The folder of content called ``name``: ``policies``, ``checks``, ``remediations`` or ``reports``."""
    return (_CHECKOUT if _IN_CHECKOUT else PACKAGE) / name


def schema(kind: str) -> Path:
    """The JSON Schema of a kind of file: ``site``, ``policy``, ``waivers`` or ``remediation``."""
    return folder("policies") / "schema" / f"{kind}.schema.json"


def modeline(kind: str, place: Path | None) -> str:
    """The first line of a YAML file, by which an editor finds its schema: relative within the checkout, which may move, else whole.

    place: the folder of the file, None where nobody knows it.
    """
    found = schema(kind)
    inside = place is not None and _IN_CHECKOUT and _CHECKOUT in (place.resolve(), *place.resolve().parents)
    address = os.path.relpath(found, place.resolve()) if inside and place else found.as_uri()
    return f"# yaml-language-server: $schema={address}\n"


def checkout_site() -> Path | None:
    """``policies/site.yaml`` of the checkout; None where sigsrv is installed (its copy is an example, not a site)."""
    return _CHECKOUT / "policies" / "site.yaml" if _IN_CHECKOUT else None


def output_folder() -> Path:
    """Where runs are written: ``reports/out`` of the checkout, else the state directory of the user."""
    if _IN_CHECKOUT:
        return _CHECKOUT / "reports" / "out"
    return state_folder() / "runs"


def state_folder() -> Path:
    """The state directory: $XDG_STATE_HOME/sigsrv where that is set, /var/lib/sigsrv for root, else the user's own as the system has it."""
    if home := os.environ.get("XDG_STATE_HOME"):
        return Path(home) / "sigsrv"
    return Path("/var/lib/sigsrv") if os.geteuid() == 0 else platformdirs.user_state_path("sigsrv", appauthor=False)


def write_private(path: Path, text: str, replace: bool = True) -> Path:
    """Write a file that only its owner can read (0600); it is there whole or not at all. Returns its path.

    replace: a file that is there. Raises OSError, also where one is there that is not to be replaced.
    """
    handle, name = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.")  # mkstemp makes it 0600
    try:
        with os.fdopen(handle, "w", encoding="utf-8") as file:
            file.write(text)
        if replace:
            Path(name).replace(path)
        else:
            os.link(name, path)  # unlike a rename it never takes the place of another file
            Path(name).unlink()
    except BaseException:
        Path(name).unlink(missing_ok=True)
        raise
    return path
