"""Writes the first file of a policy: complete, correct, and with a comment at each line that its author changes.

``first_policies/FORM-KIND.yaml`` are these files, with the ID ``SITE-001``.
"""

from __future__ import annotations

from pathlib import Path

from sigsrv.model import data, policy
from sigsrv.model.errors import UsageError, nearest

_FOLDER = Path(__file__).parent / "first_policies"
_ID = "SITE-001"
# The kind that a form examines if the user names none. All other files of a form are further choices.
_USUAL = {
    "keys": "instance",
    "devices": "instance",
    "threshold": "host",
    "listed": "instance",
    "joined": "bridge",
    "rule": "project",
}
FORMS = tuple(_USUAL)


def kinds(form: str) -> tuple[str, ...]:
    """Return the kinds of resources for which there is a first file of a form; the usual kind comes first."""
    found = sorted(path.stem.partition("-")[2] for path in _FOLDER.glob(f"{form}-*.yaml"))
    return tuple(sorted(found, key=lambda kind: kind != _USUAL[form]))


def text(form: str, kind: str, policy_id: str) -> str:
    """Return the first file of a policy, without the line for editors."""
    return (_FOLDER / f"{form}-{kind}.yaml").read_text(encoding="utf-8").replace(_ID, policy_id)


def write(policy_id: str, form: str, kind: str | None, folder: Path) -> Path:
    """Write the first file of a policy, and return its path: FOLDER/<family>/<ID>.yaml.

    form: one of ``FORMS``. kind: the kind of resource that it examines; None for the usual one. Never overwrites a file. Raises
    UsageError: no valid ID, an ID that exists, no such kind, or a folder that can't be written.
    """
    name = policy_id.upper()
    if problem := policy.id_mistake(name):
        raise UsageError(f'"{policy_id}" can\'t be the ID of a policy: {problem}', "for example SITE-001")
    if kind is not None and kind not in kinds(form):
        hint = (
            nearest(kind, kinds(form))
            if len(kinds(form)) > 1
            else f"it is for {kinds(form)[0]}: change examines: there"
        )
        raise UsageError(f"there is no first file of the form {form} for {kind}", hint)
    path = folder / policy.family_of(name) / f"{name}.yaml"
    if path.is_symlink() or path.exists():
        raise UsageError(f"{path}: this file exists already", "choose another ID, or edit the file")
    shipped = data.folder("policies") / policy.family_of(name) / f"{name}.yaml"
    if shipped.is_file():
        raise UsageError(f"{name} is a shipped policy, which the new one would replace", "choose another ID")
    if not folder.parent.is_dir():
        raise UsageError(f"{folder}: there is no folder {folder.parent}", "create it first")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with path.open("x", encoding="utf-8") as file:
            file.write(data.modeline("policy", path.parent) + text(form, kind or kinds(form)[0], name))
    except OSError as cause:
        raise UsageError(f"{path}: {cause.strerror}", "choose another folder: --policies DIR") from cause
    return path
