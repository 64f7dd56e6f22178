"""Runs every script of every remediation in a real shell, with hostile values: only the intended arguments result."""

from __future__ import annotations

import re
import shutil
import subprocess
from collections.abc import Sequence
from functools import cache
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

from sigsrv.model.fix import fix_for
from sigsrv.model.names import bad_character
from tests.test_remediation import HOSTILE, REMEDIATIONS, finding, values_of

# The programs that scripts call. Each is a function that records its arguments and prints nothing, so a script takes the same path
# whatever its values are.
PROGRAMS = (
    "incus",
    "ip",
    "zpool",
    "systemctl",
    "timedatectl",
    "getent",
    "gpasswd",
    "sshd",
    "kill",
    "cp",
    "mv",
    "chmod",
    "timeout",
)
PRELUDE = 'record() { printf \'%s\\0\' "$@" >>"$TRACE"; printf \'\\1\\0\' >>"$TRACE"; }\n' + "".join(
    f'{program}() {{ record {program} "$@"; }}\n' for program in (*PROGRAMS, "reboot", "sleep", "sync")
)
PRELUDE += 'date() { echo 20260101000000; }\ngrep() { cat >/dev/null; [ "$FOUND" = yes ]; }\n'
# Values that select what a script does. They stay as they are.
CHOICES = frozenset({"kind", "allow", "snapshot", "copies", "wait_s"})
# After these words a program takes the next word as a value, whatever it begins with.
TAKES_A_WORD = frozenset(
    {
        "--project",
        "--target",
        "--timeout",
        "--format",
        "--columns",
        "-d",
        "-a",
        "-e",
        "dev",
        "master",
        "--data",
        "-X",
        "sh",
    }
)
# These change lists of Incus, which trims the blanks around a name: no name has any.
LISTS = frozenset({"attach-acls", "detach-ports", "persist-vlan", "set-project-config"})
# Without the characters for which a fix has no script (tests/test_names.py).
TEXT = st.text(
    st.characters(include_characters="\n\t", exclude_characters="/\ufffd", exclude_categories=["Cs", "Cc"]),
    min_size=1,
    max_size=12,
)
NASTY = st.sampled_from(
    [
        text
        for text in HOSTILE
        if text and "/" not in text and not bad_character(text.replace("\n", "").replace("\t", ""))
    ]
    + ["--help", "-n", "'", '"', "\n", "a b", "%s", "!", "(", "="]
)


def with_marks(value: Any, counter: list[int], key: str = "", empty: bool = True) -> Any:
    """Return a value of the same shape with a unique mark in place of each text. empty: empty texts stay empty."""
    if isinstance(value, dict):
        return {name: with_marks(each, counter, name, empty) for name, each in value.items()}
    if isinstance(value, list):
        return [with_marks(each, counter, key, empty) for each in value]
    if not isinstance(value, str) or key in CHOICES or (empty and not value):
        return value
    counter[0] += 1
    name, equals, _ = value.partition("=")
    return f"{name}=zq{counter[0]:03}qz" if equals else f"zq{counter[0]:03}qz"


def with_texts(value: Any, texts: list[str]) -> Any:
    """Return the same value with hostile texts in place of the marks."""
    if isinstance(value, dict):
        return {name: with_texts(each, texts) for name, each in value.items()}
    if isinstance(value, list):
        return [with_texts(each, texts) for each in value]
    return without_marks(value, texts) if isinstance(value, str) else value


def without_marks(text: str, texts: list[str]) -> str:
    """Replace each mark by a different text, because two objects of one host never have the same name."""
    return re.sub(r"zq(\d{3})qz", lambda mark: f"{texts[int(mark[1]) % len(texts)]}~{mark[1]}", text)


def make_links(values: Any, folder: Path) -> None:
    """Create the kernel's view of the links: each text of the values is a link, and the ports are in the bridge."""
    shutil.rmtree(folder, ignore_errors=True)
    names = [values[key] for key in ("bridge", "interface", "parent")] + [each["name"] for each in values["links"]]
    for name in [*names, *values["ports"]]:
        (folder / name / "bridge").mkdir(parents=True)
        (folder / name / "carrier").write_text("1\n")
        (folder / name / "mtu").write_text("1\n")
    for port in values["ports"]:
        (folder / port / "master").symlink_to(f"../{values['bridge']}")


def trace(scripts: Sequence[str], values: Any, found: str, folder: Path, more: str = "") -> list[list[str]]:
    """Run scripts one after the other and return their calls with arguments.

    found: whether grep matches. more: shell code before each script.
    """
    make_links(values, folder / "net")
    trace_file, state = folder / "trace", folder / "state"
    trace_file.write_bytes(b"")
    shutil.rmtree(state, ignore_errors=True)
    state.mkdir()
    environment = {"PATH": "/usr/bin:/bin", "TRACE": str(trace_file), "SIGSRV_STATE": str(state)}
    environment |= {"FOUND": found, "NET": str(folder / "net")}
    for script in scripts:
        code = (PRELUDE + more + script.replace("/sys/class/net", "$NET")).encode()
        subprocess.run(["sh"], input=code, env=environment, cwd=folder, capture_output=True, check=False, timeout=30)
    calls: list[list[str]] = [[]]
    for word in trace_file.read_bytes().decode().split("\0")[:-1]:
        calls = [*calls, []] if word == "\1" else [*calls[:-1], [*calls[-1], word]]
    return calls[:-1]


@cache
def plain(name: str, empty: bool) -> tuple[Any, Any]:
    """Return the values with marks, and the identity of the finding with marks."""
    counter = [0]
    return with_marks(values_of(name), counter, empty=empty), with_marks({"host": "h", "resource": "r"}, counter)


def scripts(name: str, values: Any, identity: Any) -> tuple[str, str]:
    fix = fix_for(finding(name, values, **identity), REMEDIATIONS, "sigsrv")
    assert fix
    return fix.script, fix.undo


@pytest.mark.parametrize(("empty", "found"), [(True, "no"), (True, "yes"), (False, "no")], ids=["a", "b", "refused"])
@pytest.mark.parametrize("name", REMEDIATIONS)
@settings(max_examples=8, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@example(texts=["$(reboot)", "-rf", "a\nreboot", "é\u202e", "';reboot;'"])
@given(texts=st.lists(TEXT | NASTY, min_size=1, max_size=8))
def test_script_makes_the_same_calls_with_hostile_values(name, empty, found, tmp_path, texts):
    """Each mark becomes the hostile text, and no call differs otherwise. No text can be taken as an option."""
    values, identity = plain(name, empty)
    if name in LISTS:
        texts = ["".join(text.split()) or "x" for text in texts]
    hostile_values = with_texts(values, texts)
    calls = trace(scripts(name, values, identity), values, found, tmp_path)

    hostile = trace(scripts(name, hostile_values, with_texts(identity, texts)), hostile_values, found, tmp_path)

    assert hostile == [[without_marks(word, texts) for word in call] for call in calls]
    for call in calls:
        end = call.index("--") if "--" in call else len(call)
        for place, word in enumerate(call[:end]):
            if word.startswith("zq"):
                assert call[place - 1] in TAKES_A_WORD, f"{word} could be taken as an option in {call}"
    assert {path.name for path in tmp_path.iterdir()} == {"trace", "state", "net"}
