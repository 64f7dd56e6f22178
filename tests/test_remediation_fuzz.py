"""Every script of every remediation, filled in with hostile values and run by a real shell: nothing but the intended arguments results."""

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
from tests.test_remediation import HOSTILE, REMEDIATIONS, VALUES, finding

# What scripts call. Each is a function that keeps its arguments and says nothing: so a script does the same whatever it is filled in with.
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
)
PRELUDE = 'record() { printf \'%s\\0\' "$@" >>"$TRACE"; printf \'\\1\\0\' >>"$TRACE"; }\n' + "".join(
    f'{program}() {{ record {program} "$@"; }}\n' for program in (*PROGRAMS, "reboot", "sleep", "sync")
)
PRELUDE += 'date() { echo 20260101t000000; }\ngrep() { cat >/dev/null; [ "$FOUND" = yes ]; }\n'
# Words that decide what a script does, not what it does it with.
CHOICES = frozenset({"kind", "allow", "snapshot", "settle"})
# After these a program takes the next word for what it is, whatever it begins with.
TAKES_A_WORD = frozenset(
    {"--project", "--target", "--timeout", "--format", "--columns", "-d", "-a", "-e", "dev", "master", "--data", "-X"}
)
TEXT = st.text(st.characters(exclude_characters="\0\1/", exclude_categories=["Cs"]), min_size=1, max_size=12)
NASTY = st.sampled_from(
    [text for text in HOSTILE if text and "/" not in text]
    + ["--help", "-n", "'", '"', "\n", "a b", "%s", "!", "(", "="]
)


def marked(value: Any, counter: list[int], key: str = "", empty: bool = True) -> Any:
    """A value of the same shape with a mark of its own for each text. empty: what is empty stays so."""
    if isinstance(value, dict):
        return {name: marked(each, counter, name, empty) for name, each in value.items()}
    if isinstance(value, list):
        return [marked(each, counter, key, empty) for each in value]
    if not isinstance(value, str) or key in CHOICES or (empty and not value):
        return value
    counter[0] += 1
    name, equals, _ = value.partition("=")
    return f"{name}=zq{counter[0]:03}qz" if equals else f"zq{counter[0]:03}qz"


def filled(value: Any, texts: list[str]) -> Any:
    """The same with hostile texts for the marks."""
    if isinstance(value, dict):
        return {name: filled(each, texts) for name, each in value.items()}
    if isinstance(value, list):
        return [filled(each, texts) for each in value]
    return replaced(value, texts) if isinstance(value, str) else value


def replaced(text: str, texts: list[str]) -> str:
    """Each mark becomes another text: two names of one host are never the same."""
    return re.sub(r"zq(\d{3})qz", lambda mark: f"{texts[int(mark[1]) % len(texts)]}~{mark[1]}", text)


def links(values: Any, folder: Path) -> None:
    """What the kernel would show: each text of the values is a link, and the ports are in the bridge."""
    shutil.rmtree(folder, ignore_errors=True)
    request = [values[key] for key in ("bridge", "interface", "parent")] + [each["name"] for each in values["links"]]
    for name in [*request, *values["ports"]]:
        (folder / name / "bridge").mkdir(parents=True)
        (folder / name / "carrier").write_text("1\n")
        (folder / name / "mtu").write_text("1\n")
    for port in values["ports"]:
        (folder / port / "master").symlink_to(f"../{values['bridge']}")


def trace(scripts: Sequence[str], values: Any, found: str, folder: Path, more: str = "") -> list[list[str]]:
    """What scripts called, one after the other, each call with its arguments. found: what grep says; more: shell code before each."""
    links(values, folder / "net")
    kept, state = folder / "trace", folder / "state"
    kept.write_bytes(b"")
    shutil.rmtree(state, ignore_errors=True)
    state.mkdir()
    environment = {"PATH": "/usr/bin:/bin", "TRACE": str(kept), "SIGSRV_STATE": str(state)}
    environment |= {"FOUND": found, "NET": str(folder / "net")}
    for script in scripts:
        code = (PRELUDE + more + script.replace("/sys/class/net", "$NET")).encode()
        subprocess.run(["sh"], input=code, env=environment, cwd=folder, capture_output=True, check=False, timeout=30)
    calls: list[list[str]] = [[]]
    for word in kept.read_bytes().decode().split("\0")[:-1]:
        calls = [*calls, []] if word == "\1" else [*calls[:-1], [*calls[-1], word]]
    return calls[:-1]


@cache
def plain(name: str, empty: bool) -> tuple[Any, Any]:
    """The values with marks, and the identity of the finding with marks."""
    counter = [0]
    return marked(VALUES, counter, empty=empty), marked({"host": "h", "resource": "r"}, counter)


def scripts(name: str, values: Any, identity: Any) -> tuple[str, str]:
    fix = fix_for(finding(name, values, **identity), REMEDIATIONS, "sigsrv")
    assert fix
    return fix.script, fix.undo


@pytest.mark.parametrize(("empty", "found"), [(True, "no"), (True, "yes"), (False, "no")], ids=["a", "b", "refused"])
@pytest.mark.parametrize("name", REMEDIATIONS)
@settings(max_examples=8, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@example(texts=["$(reboot)", "-rf", "a\nreboot", "é\u202e", "';reboot;'"])
@given(texts=st.lists(TEXT | NASTY, min_size=1, max_size=8))
def test_a_script_calls_the_same_whatever_it_is_filled_in_with(name, empty, found, tmp_path, texts):
    """What it calls is what it calls with harmless marks, each mark being the hostile text; none is taken for an option."""
    values, identity = plain(name, empty)
    evil = filled(values, texts)
    calls = trace(scripts(name, values, identity), values, found, tmp_path)

    hostile = trace(scripts(name, evil, filled(identity, texts)), evil, found, tmp_path)

    assert hostile == [[replaced(word, texts) for word in call] for call in calls]
    for call in calls:
        end = call.index("--") if "--" in call else len(call)
        for place, word in enumerate(call[:end]):
            if word.startswith("zq"):
                assert call[place - 1] in TAKES_A_WORD, f"{word} might be taken for an option in {call}"
    assert {path.name for path in tmp_path.iterdir()} == {"trace", "state", "net"}
