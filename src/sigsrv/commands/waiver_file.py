"""Writes a waiver to the waiver file. The file belongs to the user: its comments and order stay, and it is never lost."""

from __future__ import annotations

import contextlib
import dataclasses
import fcntl
import io
import json
import os
import re
import shutil
import tempfile
from collections import Counter
from collections.abc import Collection, Iterator, Mapping
from pathlib import Path
from typing import Any

import yaml
from ruamel.yaml import YAML
from ruamel.yaml.comments import CommentedMap, CommentedSeq
from ruamel.yaml.error import YAMLError
from ruamel.yaml.resolver import VersionedResolver
from ruamel.yaml.scalarstring import DoubleQuotedScalarString
from ruamel.yaml.util import load_yaml_guess_indent

from sigsrv.model import data, waiver
from sigsrv.model.errors import UsageError
from sigsrv.model.finding import Waiver

_NEW = """\
# Failures that a named person accepts, for a reason, until a time. Reports show them as waived; afterwards they fail again.
version: 1
waivers: []
"""
_PARTS = ("policy", "host", "resource")
_BOM = "\ufeff"


class _Resolver(VersionedResolver):
    """A YAML resolver that keeps times as text, exactly as the user wrote them."""

    def add_version_implicit_resolver(self, version: Any, tag: Any, regexp: Any, first: Any) -> None:
        if tag != "tag:yaml.org,2002:timestamp":
            super().add_version_implicit_resolver(version, tag, regexp, first)


def write(
    path: Path, entry: Mapping[str, str], policies: Collection[str], max_days: int, replace: bool = False
) -> Waiver:
    """Write a waiver to a file, which is created if it is missing; return the waiver as read back from the file.

    entry: the keys of a waiver, in order. replace: replace an existing waiver of the same policy, host and resource.
    Raises UsageError if such a waiver exists and ``replace`` is false, or if the file is invalid or not writable. Then the
    file stays unchanged.
    """
    path = Path(os.path.realpath(path))  # write the target of a symbolic link, not the link
    parts = tuple(entry[part] for part in _PARTS)
    try:
        with _locked(path.parent):
            before = waiver.load(path, policies, max_days) if path.exists() else ()
            twin = next((each for each in before if each.parts == parts), None)
            if twin and not replace:
                raise UsageError(
                    f"{twin.source}: {twin.owner} already waived {twin.target}",
                    "to replace that waiver: --replace",
                )
            source = (
                path.read_bytes().decode("utf-8") if path.exists() else data.modeline("waivers", path.parent) + _NEW
            )
            with _replacement(path) as new:
                with new.open("wb") as file:
                    file.write(_edited(path, source, entry).encode("utf-8"))
                    file.flush()
                    os.fsync(file.fileno())
                after = waiver.load(new, policies, max_days)
                if _others(before, parts) != _others(after, parts) or len(after) != len(before) + (twin is None):
                    raise _refused(path, "the edit would change another waiver", entry)
                new.replace(path)
            return next(each for each in waiver.load(path, policies, max_days) if each.parts == parts)
    except OSError as cause:
        raise UsageError(f"{cause.filename or path}: cannot write the waiver: {cause.strerror}") from cause


def _others(waivers: Collection[Waiver], parts: tuple[str, ...]) -> list[Waiver]:
    return [dataclasses.replace(each, source="") for each in waivers if each.parts != parts]


def _refused(path: Path, reason: str, entry: Mapping[str, str]) -> UsageError:
    return UsageError(
        f"{path}: cannot edit this file without loss: {reason}",
        f"add it by hand: - {json.dumps(entry, ensure_ascii=False)}",
    )


@contextlib.contextmanager
def _locked(folder: Path) -> Iterator[None]:
    """Lock a folder, so that two processes that write at the same time don't overwrite each other's waivers."""
    handle = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    try:
        fcntl.flock(handle, fcntl.LOCK_EX)
        yield
    finally:
        os.close(handle)


def _edited(path: Path, source: str, entry: Mapping[str, str]) -> str:
    """Return the file's text with the waiver added or replaced. Raises UsageError if ruamel.yaml can't keep the rest."""
    bom, text = (_BOM, source[1:]) if source.startswith(_BOM) else ("", source)
    newline = "\r\n" if "\r\n" in text else "\n"
    text = text.replace("\r\n", "\n")
    try:
        editor = YAML()
        editor.Resolver = _Resolver
        editor.preserve_quotes = True
        editor.width = 2**16  # never wrap a line
        _, indent, dash = load_yaml_guess_indent(text)
        editor.indent(mapping=2, sequence=indent or 4, offset=2 if dash is None else dash)
        document = editor.load(text)
        _put(document, entry)
        out = io.StringIO()
        editor.dump(document, out)
    except (YAMLError, AttributeError, ValueError, KeyError) as cause:
        raise _refused(path, f"{type(cause).__name__}", entry) from cause
    edited = out.getvalue()
    if lost := Counter(_comments(text)) - Counter(_comments(edited)):
        raise _refused(path, f"the edit would lose the comment {next(iter(lost))!r}", entry)
    return bom + edited.replace("\n", newline)


def _put(document: Any, entry: Mapping[str, str]) -> None:
    known = document.get("waivers") or ()
    same = next((each for each in known if all(each[part] == entry[part] for part in _PARTS)), None)
    target = CommentedMap() if same is None else same
    target.update({key: _scalar(value) for key, value in entry.items() if target.get(key) != value})
    if same is not None:
        return
    if known:
        document["waivers"].append(target)
    else:
        document["waivers"] = CommentedSeq([target])


def _scalar(text: str) -> str:
    """Return a text that every YAML reader reads as text: quoted if a YAML 1.1 reader could read another type."""
    resolver: Any = yaml.SafeLoader("")
    plain = resolver.resolve(yaml.ScalarNode, text, (True, False))
    return text if plain.endswith((":str", ":timestamp")) else DoubleQuotedScalarString(text)


def _comments(text: str) -> list[str]:
    """Return the comments of a document: what remains of its lines without the values."""
    left = list(text)
    for token in yaml.scan(text, Loader=yaml.SafeLoader):
        if isinstance(token, yaml.ScalarToken):
            left[token.start_mark.index : token.end_mark.index] = " " * (token.end_mark.index - token.start_mark.index)
    return [found.rstrip() for found in re.findall(r"#.*$", "".join(left), re.MULTILINE)]


@contextlib.contextmanager
def _replacement(path: Path) -> Iterator[Path]:
    """Create a temporary file next to ``path`` with the same owner and permissions, for an atomic replacement.

    It is deleted unless the caller moved it.
    """
    handle, name = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.")
    os.close(handle)
    new = Path(name)
    try:
        if path.exists():
            status = path.stat()
            if (status.st_uid, status.st_gid) != (os.geteuid(), os.getegid()):
                os.chown(new, status.st_uid, status.st_gid)
            shutil.copystat(path, new)  # mode, access control list and security label
            os.utime(new)
        else:
            umask = os.umask(0)
            os.umask(umask)
            new.chmod(0o666 & ~umask)
        yield new
    finally:
        new.unlink(missing_ok=True)
