"""collect.probes: the table of probes, the one script that carries them, and the reading of what came back.

Room: collect. May import errors and collect.evidence.

The script is POSIX ``sh``; on the host it needs coreutils, and iproute2 for ``link``. It writes no file. Each output comes back in
base64 below a header that starts with a random word, so that no output can forge another probe's frame.
"""

from __future__ import annotations

import base64
import binascii
import re
import shlex
from collections.abc import Iterable
from dataclasses import dataclass

from sigsrv.collect.evidence import Answer, Failure
from sigsrv.errors import FailureKind

SOCKET = "/var/lib/incus/unix.socket"
UNITS = ("incus.service", "incus.socket", "incus-startup.service")
_PROPERTIES = "Id,LoadState,ActiveState,SubState,UnitFileState,WantedBy,RequiredBy,TriggeredBy,NRestarts,Result"
_STDERR_BYTES = 4096
_PATH = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin:/run/current-system/sw/bin:/run/wrappers/bin"


@dataclass(frozen=True)
class Probe:
    """One command on the host. It reads only; needs_zfs: only run for a site that has ZFS pools."""

    id: str
    command: tuple[str, ...]
    parsed_by: str
    timeout_s: int = 5
    limit_bytes: int = 16 * 1024 * 1024
    needs_zfs: bool = False

    @property
    def shell(self) -> str:
        return shlex.join(self.command)


# The units come first: asking the API starts a daemon that waits for its socket.
TABLE = (
    Probe("units", ("systemctl", "show", "--no-pager", "--property", _PROPERTIES, *UNITS), "facts.system"),
    Probe("socket", ("test", "-S", SOCKET), "collect.api"),
    Probe("socket-access", ("test", "-w", SOCKET), "collect.api"),
    Probe("link", ("ip", "-j", "-d", "link", "show"), "facts.network"),
    Probe("addr", ("ip", "-j", "-d", "addr", "show"), "facts.network"),
    Probe("zpool-json", ("zpool", "status", "-j", "--json-int", "-p"), "facts.storage", timeout_s=8, needs_zfs=True),
    Probe("zpool-text", ("zpool", "status", "-p"), "facts.storage", timeout_s=8, needs_zfs=True),
    Probe("zpool-list", ("zpool", "list", "-Hp"), "facts.storage", timeout_s=8, needs_zfs=True),
    Probe(
        "zfs-created",
        ("zfs", "list", "-Hp", "-d", "0", "-o", "name,creation"),
        "facts.storage",
        timeout_s=8,
        needs_zfs=True,
    ),
)


def select(*, zfs: bool) -> tuple[Probe, ...]:
    """The probes of the table that a site needs. zfs: whether it has ZFS pools."""
    return tuple(probe for probe in TABLE if zfs or not probe.needs_zfs)


# fd 3 is the way home; the standard error and, as its last line, the exit status of a probe are caught in $tail.
_PRELUDE = """\
PATH={path}; LC_ALL=C; export PATH LC_ALL; unset LANGUAGE; exec 3>&1 </dev/null
probe() {{
  id=$1 seconds=$2 limit=$3; shift 3
  echo "{word} begin $id" >&3
  tail=$( {{ \
    {{ timeout -k 1 "$seconds" "$@" 2>&5 3>&- 4>&- 5>&-; printf '\\n%s\\n' "$?" >&5; }} 5>&4 | head -c "$limit" | base64 >&3
  }} 4>&1 | tail -c {stderr} | base64 )
  echo "{word} end $id" >&3
  echo "$tail" >&3
  echo "{word} done $id" >&3
}}
"""


def script(probes: Iterable[Probe], word: str) -> str:
    """The ``sh`` script that runs the probes one after the other. word: random, letters and digits."""
    lines = [_PRELUDE.format(path=_PATH, word=word, stderr=_STDERR_BYTES)]
    lines += [f"probe {p.id} {p.timeout_s} {p.limit_bytes + 1} {p.shell}" for p in probes]
    return "\n".join(lines) + "\n"


def carried(text: str) -> str:
    """A command line that runs a script in any login shell: its characters mean the same to sh, fish and csh."""
    return f"echo {base64.b64encode(text.encode()).decode()} | base64 -d | /bin/sh"


def read(probes: Iterable[Probe], word: str, output: bytes, broke: Failure | None = None) -> dict[str, Answer]:
    """What each probe answered. output: all that came back, banners of a login shell and the like included.

    A frame that is missing, cut off or damaged is a failure of its probe, never an empty answer. broke: why the output may have
    ended early.
    """
    answers = {}
    marker = re.escape(word.encode())
    for probe in probes:
        name = re.escape(probe.id.encode())
        frame = re.search(
            rb"^%s begin %s\n([A-Za-z0-9+/=\n]*)^%s end %s\n([A-Za-z0-9+/=\n]*)^%s done %s$" % ((marker, name) * 3),
            output,
            re.MULTILINE,
        )
        if frame is None:
            failure = broke or Failure(FailureKind.GARBLED, f"probe {probe.id}: its answer did not come back whole")
            answers[probe.id] = Answer(probe.shell, failure=failure)
        else:
            answers[probe.id] = _answer(probe, frame[1], frame[2])
    return answers


def _answer(probe: Probe, coded_out: bytes, coded_tail: bytes) -> Answer:
    try:
        raw = base64.b64decode(coded_out.replace(b"\n", b""), validate=True)
        tail = base64.b64decode(coded_tail.replace(b"\n", b""), validate=True)
        stderr_bytes, _, status = tail.rstrip(b"\n").rpartition(b"\n")
        rc = int(status)
    except (binascii.Error, ValueError):
        return Answer(probe.shell, failure=Failure(FailureKind.GARBLED, f"probe {probe.id}: a damaged frame"))
    stderr = stderr_bytes.decode("utf-8", "replace").strip()
    out = raw
    failure = None
    if len(out) > probe.limit_bytes:
        out = b""
        failure = Failure(FailureKind.TOO_LARGE, f"probe {probe.id}: more than {probe.limit_bytes} bytes")
    elif rc in (124, 137):  # timeout(1): 124 after its TERM, 137 after its KILL; 137 also where somebody else killed it
        why = f"no end in {probe.timeout_s} s" + (", or it was killed" if rc == 137 else "")
        failure = Failure(FailureKind.TIMEOUT, f"probe {probe.id} (`{probe.shell}`): {why}")
    elif rc == 127:
        failure = Failure(FailureKind.MISSING, f"probe {probe.id}: {probe.command[0]} is not on the host")
    try:
        stdout = out.decode("utf-8")
    except UnicodeDecodeError as cause:
        stdout = ""
        failure = Failure(FailureKind.GARBLED, f"probe {probe.id}: not UTF-8 at byte {cause.start}")
    return Answer(probe.shell, rc, stdout, stderr, failure)
