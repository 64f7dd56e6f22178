"""Answers the script of 60 probes with up to 16 MiB of anything for each of them, and measures what that costs us.

usage: python -m tests.flood KIND   prints seconds of CPU, megabytes of memory, and how many probes have which failure
"""

from __future__ import annotations

import collections
import json
import resource
import shlex
import subprocess
import sys
from pathlib import Path
from typing import Any

from sigsrv.collect.probes import Probe
from sigsrv.collect.running import run_probes
from sigsrv.collect.session import LocalSession
from sigsrv.collect.target import Target

PROBES = [Probe(f"p{number}", ("true",), "a test", limit_bytes=16 * 1024 * 1024) for number in range(60)]
# Prints what a hostile host sends. argv: kind, the word of the script.
SENDER = """
import base64, os, sys
kind, word = sys.argv[1:]
size = 16 * 1024 * 1024
def framed(name, data):
    raw = data + f"\\n{word} 0\\n\\n{word} 0\\n\\n{word} 0\\n".encode()
    coded = base64.encodebytes(raw)
    return f"{word} {name} {len(coded)}\\n".encode() + coded + b"\\n"
out = sys.stdout.buffer
for number in range(60):
    name = f"p{number}"
    if kind == "zeros": piece = framed(name, bytes(size))
    if kind == "wide": piece = framed(name, chr(0x1F600).encode() + b"x" * (size - 4))
    if kind == "lines": piece = framed(name, b"\\n" * size)
    if kind == "headers": piece = f"{word} {name} 5\\n".encode() * (size // 48)
    if kind == "empty": piece = framed(name, b"") + f"{word} {name}\\n".encode() * (size // 48)
    if kind == "newlines": piece = b"\\n" * size
    if kind == "random": piece = os.urandom(size)
    if kind == "cut": piece = framed(name, bytes(size))[: size // 2]
    if kind == "endless": piece = b"x" * size
    if kind == "words": piece = word.encode() * (size // 32)
    out.write(piece)
"""
KINDS = ("zeros", "wide", "lines", "headers", "empty", "newlines", "random", "cut", "endless", "words")


def word_of(command: str) -> str:
    """Return the random word of the script in a command line."""
    text = subprocess.run(["sh", "-c", command.replace("/bin/sh", "cat")], capture_output=True, text=True, check=True)
    return text.stdout.partition("printf '\\n")[2].split(" ")[0]


class HostileSession(LocalSession):
    """A session with a host that sends anything."""

    def __init__(self, kind: str) -> None:
        super().__init__(Target("hostile", connection="local", timeout_s=60.0))
        self._kind = kind

    def run(self, command: str, *more: Any, **options: Any) -> tuple[int, bytes, bytes]:
        sender = shlex.join([sys.executable, "-c", SENDER, self._kind, word_of(command)])
        return super().run(f"exec {sender}", *more, **options)


def peak_mib() -> int:
    """Return the most memory that this process had since it started. ``ru_maxrss`` would count what its parent had."""
    lines = Path("/proc/self/status").read_text().splitlines()
    return next(int(line.split()[1]) for line in lines if line.startswith("VmHWM:")) // 1024


def main(kind: str) -> None:
    """Run the probes once and print what it cost this process."""
    before = resource.getrusage(resource.RUSAGE_SELF)
    with HostileSession(kind) as session:
        answers = run_probes(session, PROBES)
    after = resource.getrusage(resource.RUSAGE_SELF)
    failures = collections.Counter(answer.failure.kind.value if answer.failure else "" for answer in answers.values())
    cpu_s = after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime
    print(json.dumps({"cpu_s": round(cpu_s, 2), "mib": peak_mib(), "failures": failures}))


if __name__ == "__main__":
    main(sys.argv[1])
