"""Renders a remediation for one finding: scripts in which every value is quoted for their language."""

from __future__ import annotations

import hashlib
import json
import shlex
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import cache, lru_cache
from pathlib import Path
from typing import Any

import jinja2

from sigsrv.model import lasting
from sigsrv.model.errors import UsageError, nearest
from sigsrv.model.finding import Finding, Verdict
from sigsrv.model.lasting import Known
from sigsrv.model.names import bad_character
from sigsrv.model.remediation import Remediation
from sigsrv.model.taking_back import taken_back
from sigsrv.model.tofu import opentofu
from sigsrv.model.touches import Touch, parse

TOUCHES = "touches.yaml.j2"
PERMANENT = {"OpenTofu": "permanent.yaml.j2", "NixOS": "permanent.nix.j2"}


@dataclass(frozen=True)
class Fix:
    """A remediation with its values for one finding. runs_on: the host whose shell runs it.

    permanent: text for "OpenTofu" or "NixOS". words: all strings among the values, from which sigsrv finds the links that
    the fix names. touches: what it changes. reaches: ``host``, or ``members`` if it takes effect on all members of the cluster. resets:
    the networks that Incus sets up again. also: ids of further findings that the script fixes. taken_back: what takes the change back
    later. An undo is a Fix too, with ``script`` and ``undo`` swapped.
    """

    finding: str
    name: str
    title: str
    command: str
    runs_on: str
    disruption: str
    disrupts: str
    undo_text: str
    timeout_s: int
    script: str
    undo: str
    permanent: Mapping[str, str]
    changes: str = "host"
    survives_reboot: bool = True
    words: tuple[str, ...] = ()
    touches: tuple[Touch, ...] = ()
    reaches: str = "host"
    resets: tuple[str, ...] = ()
    also: tuple[str, ...] = ()
    taken_back: tuple[str, ...] = ()

    @property
    def sha256(self) -> str:
        """Return the hash of the script, as the journal and syslog record it."""
        return hashlib.sha256(self.script.encode(errors="surrogatepass")).hexdigest()

    @property
    def findings(self) -> tuple[str, ...]:
        """Return the ids of all findings that the script fixes."""
        return self.finding, *self.also

    @property
    def looked_at(self) -> tuple[Touch, ...]:
        """Return what pictures must show for it: the things that it changes, and the networks that Incus sets up again."""
        return (*self.touches, *(Touch("network", name) for name in self.resets))

    @property
    def cuts_network(self) -> bool:
        return self.disruption == "network"


def _shell(value: Any) -> str:
    """Return a value as one word of a shell. None becomes the empty word."""
    return shlex.quote("" if value is None else str(value))


def nix_value(value: Any) -> str:
    """Return a value as a Nix string: quoted, with interpolation escaped. A whole number stays one."""
    if type(value) is int:
        return str(value)
    text = json.dumps("" if value is None else str(value), ensure_ascii=False)  # Nix has no escapes by number
    return text.replace("${", "\\${")


def _yaml(value: Any) -> str:
    """Return a value as a YAML string in double quotes. JSON's strings are no such strings: their surrogate pairs are not YAML."""
    text = "" if value is None else str(value)
    return (
        '"'
        + "".join(
            each if each.isascii() and (each.isalnum() or each in " ._/-") else f"\\U{ord(each):08x}" for each in text
        )
        + '"'
    )


@cache
def _environment(language: str, shared: Path) -> jinja2.Environment:
    quote = {"sh": _shell, "nix": nix_value, "yaml": _yaml}[language]
    return jinja2.Environment(  # noqa: S701  not HTML: each value is quoted for its own language by ``finalize``
        loader=jinja2.FileSystemLoader(shared),
        finalize=quote,
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        keep_trailing_newline=True,
    )


@lru_cache(maxsize=128)
def _template(language: str, shared: Path, text: str) -> jinja2.Template:
    """Return a compiled template. Cached, because many findings use the same one."""
    return _environment(language, shared).from_string(text)


def render(path: Path, values: Mapping[str, Any]) -> str:
    """Return a template with its values filled in. The file name gives the language (``apply.sh.j2``).

    It may include the files of the folder ``shared``, beside the folder of its remediation.

    Raises UsageError if the template needs a value that is missing.
    """
    language = path.name.split(".")[-2]
    try:
        shared = path.parents[1] / "shared"
        return _template(language, shared, path.read_text(encoding="utf-8")).render(values)
    except jinja2.TemplateError as cause:
        raise UsageError(f"{path}: {cause}") from cause


def _texts(value: Any, keys: bool) -> Iterator[str]:
    """Yield the texts in a value. keys: also the keys of its mappings."""
    if isinstance(value, Mapping):
        for key, item in value.items():
            yield from (str(key),) if keys else ()
            yield from _texts(item, keys)
    elif isinstance(value, (list, tuple)):
        for item in value:
            yield from _texts(item, keys)
    elif isinstance(value, str):
        yield value


def _words(value: Any) -> Iterator[str]:
    """Yield the texts in a value. A text with commas is a list: yields each of its entries."""
    for text in _texts(value, keys=False):
        yield from (part.strip() for part in text.split(",") if part.strip())


def fix_for(finding: Finding, remediations: Mapping[str, Remediation], default_host: str) -> Fix | None:
    """Return the fix of a finding; None if it needs no fix or a person must fix it.

    default_host: where a fix of the whole cluster runs. A waived finding has a fix too; callers that offer fixes
    leave it out unless the user names it. Raises UsageError for an unknown remediation, a missing value, or one with a character
    that no shell gets unchanged (NUL) or that hides text on a terminal.
    """
    if finding.remediation is None or finding.verdict not in (Verdict.FAIL, Verdict.WAIVED):
        return None
    if finding.remediation not in remediations:
        hint = nearest(finding.remediation, remediations)
        raise UsageError(f"{finding.policy}: there is no remediation {finding.remediation}", hint)
    remediation = remediations[finding.remediation]
    values = {
        "finding": finding.id,
        "policy": finding.policy,
        "host": finding.host,
        "resource": finding.resource,
        **finding.fix,
    }
    missing = sorted(set(remediation.parameters) - set(values))
    if missing:
        raise UsageError(
            f"{finding.id}: the check does not set {', '.join(missing)}, which remediation {remediation.name} needs"
        )
    for word in _texts(values, keys=True):
        if found := bad_character(word.replace("\n", "").replace("\t", "")):
            raise UsageError(f"{finding.id}: a value for remediation {remediation.name} has the character {found}")
    folder = remediation.folder
    runs_on = str(finding.fix.get("runs_on") or (default_host if finding.host == "cluster" else finding.host))
    touches = _touches(folder / TOUCHES, values)
    return Fix(
        finding=finding.id,
        name=remediation.name,
        title=remediation.title,
        command=f"sigsrv-remediate {finding.id}",
        runs_on=runs_on,
        disruption=remediation.disruption,
        disrupts=str(finding.fix.get("disrupts") or remediation.disrupts),
        undo_text=remediation.undo,
        timeout_s=remediation.timeout_s,
        script=render(folder / "apply.sh.j2", values),
        undo=render(folder / "undo.sh.j2", values),
        permanent=_permanent(folder, values, finding.known),
        changes=remediation.changes,
        survives_reboot=remediation.survives_reboot,
        words=tuple(dict.fromkeys(_words(dict(finding.fix)))),
        touches=touches,
        reaches=remediation.reaches if finding.host == "cluster" else "host",  # a standalone host has no other member
        resets=_names(values[remediation.resets]) if remediation.resets else (),
        taken_back=taken_back(touches, finding.known, runs_on, remediation.survives_reboot),
    )


def _names(value: Any) -> tuple[str, ...]:
    return tuple(map(str, value)) if isinstance(value, (list, tuple)) else (str(value),)


def _permanent(folder: Path, values: Mapping[str, Any], known: Known | None) -> dict[str, str]:
    """Return the text for each tool that can make the fix last. known: what was read of the objects that the fix changes."""
    changes, module = folder / PERMANENT["OpenTofu"], folder / PERMANENT["NixOS"]
    found = {
        "OpenTofu": opentofu(lasting.parse(render(changes, values), changes), known) if changes.is_file() else "",
        "NixOS": render(module, {**values, "known": known}) if module.is_file() else "",
    }
    return {name: text for name, text in found.items() if text.strip()}


def _touches(path: Path, values: Mapping[str, Any]) -> tuple[Touch, ...]:
    return parse(render(path, values), path) if path.is_file() else ()
