"""A waiver is written into the file of waivers, which is a user's: comments and order stay, and it is never lost."""

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
# Failures that a named person accepts, for a reason, until a time: they are shown as waived, and fail again afterwards.
version: 1
waivers: []
"""
_PARTS = ("policy", "host", "resource")
_BOM = "\ufeff"


class _Resolver(VersionedResolver):
    """A time stays the text that the user wrote."""

    def add_version_implicit_resolver(self, version: Any, tag: Any, regexp: Any, first: Any) -> None:
        if tag != "tag:yaml.org,2002:timestamp":
            super().add_version_implicit_resolver(version, tag, regexp, first)


def put(
    path: Path, entry: Mapping[str, str], policies: Collection[str], max_days: int, replace: bool = False
) -> Waiver:
    """Write a waiver into a file, which is made where there is none; returns it as it is read again.

    entry: the keys of a waiver, in their order. replace: take it instead of the one of the same findings, where there is one;
    without it that is a UsageError. Raises UsageError too where the file is no good, or can't be written: then it is as it was.
    """
    path = Path(os.path.realpath(path))  # the file behind a link is written, not the link
    parts = tuple(entry[part] for part in _PARTS)
    try:
        with _locked(path.parent):
            before = waiver.load(path, policies, max_days) if path.exists() else ()
            twin = next((each for each in before if each.parts == parts), None)
            if twin and not replace:
                raise UsageError(
                    f"{twin.source}: there is a waiver of {twin.target} already, by {twin.owner}",
                    "--replace writes this one in its place",
                )
            source = (
                path.read_bytes().decode("utf-8") if path.exists() else data.modeline("waivers", path.parent) + _NEW
            )
            with _beside(path) as new:
                with new.open("wb") as file:
                    file.write(_edited(path, source, entry).encode("utf-8"))
                    file.flush()
                    os.fsync(file.fileno())
                after = waiver.load(new, policies, max_days)
                if _others(before, parts) != _others(after, parts) or len(after) != len(before) + (twin is None):
                    raise _refused(path, "another waiver would be changed", entry)
                new.replace(path)
            return next(each for each in waiver.load(path, policies, max_days) if each.parts == parts)
    except OSError as cause:
        raise UsageError(f"{cause.filename or path}: the waiver can't be written: {cause.strerror}") from cause


def _others(waivers: Collection[Waiver], parts: tuple[str, ...]) -> list[Waiver]:
    return [dataclasses.replace(each, source="") for each in waivers if each.parts != parts]


def _refused(path: Path, reason: str, entry: Mapping[str, str]) -> UsageError:
    return UsageError(
        f"{path}: can't be edited without loss: {reason}",
        f"add it by hand: - {json.dumps(entry, ensure_ascii=False)}",
    )


@contextlib.contextmanager
def _locked(folder: Path) -> Iterator[None]:
    """Hold a folder, so that of two who write at the same time neither loses what the other wrote."""
    handle = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    try:
        fcntl.flock(handle, fcntl.LOCK_EX)
        yield
    finally:
        os.close(handle)


def _edited(path: Path, source: str, entry: Mapping[str, str]) -> str:
    """The text of the file with a waiver more, or with another one. Raises UsageError where ruamel.yaml can't keep the rest."""
    bom, text = (_BOM, source[1:]) if source.startswith(_BOM) else ("", source)
    newline = "\r\n" if "\r\n" in text else "\n"
    text = text.replace("\r\n", "\n")
    try:
        editor = YAML()
        editor.Resolver = _Resolver
        editor.preserve_quotes = True
        editor.width = 2**16  # no line is broken that was not
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
        raise _refused(path, f"the comment {next(iter(lost))!r} would be lost", entry)
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
    """A text that every reader of YAML takes for one: in quotes where one of YAML 1.1 would take it for something else."""
    resolver: Any = yaml.SafeLoader("")
    plain = resolver.resolve(yaml.ScalarNode, text, (True, False))
    return text if plain.endswith((":str", ":timestamp")) else DoubleQuotedScalarString(text)


def _comments(text: str) -> list[str]:
    """The comments of a document: what is left of its lines once its values are taken out."""
    left = list(text)
    for token in yaml.scan(text, Loader=yaml.SafeLoader):
        if isinstance(token, yaml.ScalarToken):
            left[token.start_mark.index : token.end_mark.index] = " " * (token.end_mark.index - token.start_mark.index)
    return [found.rstrip() for found in re.findall(r"#.*$", "".join(left), re.MULTILINE)]


@contextlib.contextmanager
def _beside(path: Path) -> Iterator[Path]:
    """A new file that can take the place of another in one step, with its owner and rights; gone where it did not."""
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
