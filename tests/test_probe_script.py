"""Tests the script of probes in real shells, and the reader of its frames."""

from __future__ import annotations

import base64
import json
import os
import shutil
import subprocess
import sys
import time
import uuid
from pathlib import Path

import pytest

from sigsrv.collect.answers import HOST_BYTES, AnswerReader, limit_bytes
from sigsrv.collect.evidence import Answer, Failure
from sigsrv.collect.probes import TABLE, Probe, ProbeOptions, select
from sigsrv.collect.script import script, shell_command
from sigsrv.model.errors import FailureKind
from tests import flood
from tests.local_host import wait

ROOT = Path(__file__).resolve().parents[1]
WORD = "0123456789abcdef"
SHELLS = [shell for shell in ("dash", "bash", "busybox") if shutil.which(shell)]


def read(probes: list[Probe], output: bytes, broke: Failure | None = None, piece: int = 65536) -> dict[str, Answer]:
    """Return the answers in an output that arrives in pieces."""
    reader = AnswerReader(probes, WORD)
    for start in range(0, len(output), piece):
        reader.take(output[start : start + piece])
    return reader.answers(broke)


def output_of(probes: list[Probe], path: Path | None = None, shell: str = "/bin/sh", login: str = "sh") -> bytes:
    """Return what the script of the probes prints. path: a folder with programs that replace those of the host."""
    text = script(probes, WORD, 60)
    if path:
        text = text.replace("PATH=/", f"PATH={path}:/", 1)
    argv = [login, "-c", shell_command(text).replace("/bin/sh", "busybox sh" if shell == "busybox" else shell)]
    return subprocess.run(argv, capture_output=True, check=False, timeout=50).stdout


def run(*probes: Probe, before: bytes = b"", **how: str) -> dict[str, Answer]:
    return read(list(probes), before + output_of(list(probes), **how))


def sh(name: str, code: str, **more: int) -> Probe:
    return Probe(name, ("sh", "-c", code), "a test", **more)


def frame(name: str, raw: bytes) -> bytes:
    coded = base64.encodebytes(raw)
    return f"{WORD} {name} {len(coded)}\n".encode() + coded + b"\n"


def content(out: str = "hi\n", status: str = "0", passed_on: str = "0", stderr: str = "") -> bytes:
    """Return the content of the frame of a probe."""
    return f"{out}\n{WORD} {status}\n\n{WORD} {passed_on}\n{stderr}\n{WORD} {len(stderr)}\n".encode()


@pytest.mark.parametrize("login", ["sh", "bash", "dash"])
def test_output_stderr_and_status_are_unchanged(login):
    """Standard output, standard error and exit status of a probe stay separate, in any login shell."""
    answer = run(sh("a", "printf 'out\\n\\n'; echo err >&2; exit 3"), login=login, before=b"Welcome!\n")["a"]

    assert (answer.rc, answer.stdout, answer.stderr, answer.failure) == (3, "out\n\n", "err", None)


@pytest.mark.parametrize("shell", SHELLS)
@pytest.mark.parametrize("more", [1, 9000])
def test_any_sh_runs_a_script_of_any_length(shell, more):
    """The shell reads the script from its standard input, and the script closes that input.

    At that point dash has read 8191 bytes, and bash (sh of NixOS) one line.
    """
    answers = run(sh("a", "echo 1"), sh("b", f"echo 2 # {'x' * more}"), sh("c", "echo 3"), shell=shell)

    assert [answer.stdout for answer in answers.values()] == ["1\n", "2\n", "3\n"]


def test_output_can_t_forge_the_frame_of_another_probe():
    """A probe that prints whole frames on both streams changes only its own answer."""
    forged = content("forged\n").decode() + frame("b", content("forged\n")).decode()
    printed = forged.replace("\n", "\\n")
    answers = run(sh("a", f"printf '{printed}'; printf '{printed}' >&2; exit 3"), sh("b", "echo real; exit 7"))

    assert (answers["b"].rc, answers["b"].stdout) == (7, "real\n")
    assert (answers["a"].rc, answers["a"].stdout, answers["a"].stderr) == (3, forged, forged.strip())


@pytest.mark.parametrize("shell", SHELLS)
def test_probe_without_a_valid_answer_fails_alone(shell):
    """A missing command, a timeout, too much output and invalid UTF-8 fail only that probe. The next one answers."""
    answers = run(
        Probe("missing", ("no-such-command",), "a test"),
        Probe("late", ("sleep", "9"), "a test", timeout_s=1),
        sh("stubborn", "trap '' TERM; sleep 9 & wait; sleep 9", timeout_s=1),
        Probe("floods", ("yes",), "a test", limit_bytes=5000),
        sh("floods-stderr", "yes >&2", timeout_s=1),
        sh("bytes", "printf '\\377\\376'"),
        sh("b", "echo fine"),
        shell=shell,
    )

    kinds = {name: answer.failure and answer.failure.kind for name, answer in answers.items()}
    assert kinds == {
        "missing": FailureKind.MISSING,
        "late": FailureKind.TIMEOUT,
        "stubborn": FailureKind.TIMEOUT,
        "floods": FailureKind.TOO_LARGE,
        "floods-stderr": FailureKind.TIMEOUT,
        "bytes": FailureKind.GARBLED,
        "b": None,
    }
    assert answers["b"].stdout == "fine\n"


def test_output_of_exactly_the_limit_is_complete():
    """One byte more is a failure, and the reason has the limit with its unit."""
    found = run(*(sh(f"a{number}", f"head -c {number} /dev/zero", limit_bytes=2048) for number in (2048, 2049, 99999)))

    assert found["a2048"].stdout == "\0" * 2048
    assert [found[name].failure.reason for name in ("a2049", "a99999")] == [
        f"probe {name}: the output is larger than 2 KiB" for name in ("a2049", "a99999")
    ]


def test_long_messages_of_a_program_do_not_stop_it():
    """Of its standard error the first 4 KiB come back, in whole lines. A pipe holds 64 KiB."""
    answer = run(sh("a", "seq 1 9999 >&2; echo out"))["a"]

    assert (answer.failure, answer.stdout) == (None, "out\n")
    assert answer.stderr.splitlines()[:2] == ["1", "2"]
    assert 4000 < len(answer.stderr) < 4200


@pytest.mark.parametrize("shell", SHELLS)
def test_process_that_a_probe_leaves_behind_changes_nothing(shell):
    """It is a daemon in a session of its own, and keeps both streams of the probe open. Its later output does not count."""
    daemon = "setsid sh -c 'sleep 0.3; echo later; exec sleep 20' & echo whole; echo err >&2; exit 4"
    began = time.monotonic()
    answers = run(sh("a", daemon, timeout_s=1), sh("b", "echo fine"), shell=shell)

    assert time.monotonic() - began < 8
    assert (answers["a"].rc, answers["a"].stdout, answers["a"].stderr) == (4, "whole\n", "err")
    assert (answers["a"].failure, answers["b"].stdout) == (None, "fine\n")


def test_many_probes_that_hang_cost_the_others_little_time():
    """Two start at a time, and the script waits less than a second for each. The last one starts when the others have answered."""
    clock = "cat /proc/uptime"
    hanging = [sh(f"h{number}", "trap '' TERM; while :; do sleep 1; done", timeout_s=3) for number in range(6)]
    quick = [sh(f"a{number}", clock) for number in range(9)]
    probes = [sh("begin", clock), *hanging[:4], *quick, *hanging[4:], sh("end", clock)]
    answers = run(*probes)

    assert {answers[probe.id].failure.kind for probe in hanging} == {FailureKind.TIMEOUT}
    began, *at, ended = (float(answers[name].stdout.split()[0]) for name in ("begin", *(p.id for p in quick), "end"))
    assert max(at) - began < 3, "four that hang cost at most two seconds"
    assert 0.5 < ended - max(at) < 2.5
    assert ended - began < 4, "before the ones that hang are given up"


def test_last_probe_starts_when_the_one_before_it_has_answered():
    """It reads the clock a second time. Other probes run beside each other."""
    answers = run(sh("a", "sleep 0.4; cat /proc/uptime"), sh("end", "cat /proc/uptime"))
    first, last = (float(answer.stdout.split()[0]) for answer in answers.values())

    assert last >= first


@pytest.mark.parametrize("shell", SHELLS)
def test_script_leaves_nothing_behind(shell, monkeypatch):
    """It ends the process that counts the time, and waits for no other."""
    monkeypatch.setenv("SIGSRV_TEST", mark := uuid.uuid4().hex)
    assert run(sh("a", "echo 1"), shell=shell)["a"].stdout == "1\n"

    def left() -> list[str]:
        found = subprocess.run(
            ["sh", "-c", f"grep -ls {mark} /proc/[0-9]*/environ"], capture_output=True, text=True, env={}, check=False
        )
        return [path for path in found.stdout.split() if path.split("/")[2] != str(os.getpid())]

    assert wait(lambda: left() == [])


def test_at_most_ten_programs_run_at_the_same_time(tmp_path):
    """A host whose programs all hang is not flooded with processes."""
    probes = [
        sh(f"a{number}", f"echo >{tmp_path}/$$; ls {tmp_path} | wc -l; sleep 2; rm {tmp_path}/$$")
        for number in range(14)
    ]
    text = script(probes, WORD, 60).replace("sleep 0.5 ||", "sleep 0.1 ||")
    done = subprocess.run(["/bin/sh"], input=text.encode(), capture_output=True, check=False)

    assert max(int(answer.stdout) for answer in read(probes, done.stdout).values()) == 10


@pytest.mark.parametrize("shell", [shell for shell in SHELLS if shell != "busybox"])  # it has a timeout of its own
def test_program_that_nothing_ends_delays_only_its_own_answer(tmp_path, shell):
    """timeout(1) itself stands in for it: it never ends. The script and everything that has its output open end without it.

    sshd ends a session only when every process has closed its output, and a shell can keep a copy of a descriptor that it closes.
    """
    real = shutil.which("timeout")
    stands_in = tmp_path / "timeout"
    stands_in.write_text(f'#!/bin/sh\ncase $* in *forever*) trap "" TERM; exec sleep 25 ;; esac\nexec {real} "$@"\n')
    stands_in.chmod(0o755)
    began = time.monotonic()
    answers = run(sh("a", "forever", timeout_s=1), sh("b", "echo fine"), path=tmp_path, shell=shell)

    assert time.monotonic() - began < 15
    assert answers["b"].stdout == "fine\n"
    assert answers["a"].failure == Failure(
        FailureKind.TIMEOUT,
        "probe a (`sh -c forever`): not finished in 1 s, and not ended by SIGKILL: it hangs in the kernel. "
        "See `ps -eo pid,stat,wchan:32,args` on the host (state D)",
    )


def test_script_ends_in_its_time_if_a_job_was_killed(tmp_path):
    """A job that is killed reports nothing. The script does not wait for it for ever, and the others answer."""
    killed = tmp_path / "base64"
    kill = 'read -r pid name state job rest <"/proc/$PPID/stat"; kill -9 $job'
    code = f'#!/bin/sh\nread -r first\ncase $first in 1) {kill} ;; esac\n{{ echo "$first"; cat; }} | {shutil.which("base64")}\n'
    killed.write_text(code)
    killed.chmod(0o755)
    began = time.monotonic()
    probes = [sh("a", "echo 1"), sh("b", "echo 2")]
    text = script(probes, WORD, 2).replace("PATH=/", f"PATH={tmp_path}:/", 1)
    done = subprocess.run(["/bin/sh"], input=text.encode(), capture_output=True, check=False)

    answers = read(probes, done.stdout)

    assert 1.5 < time.monotonic() - began < 9
    assert answers["a"].failure == Failure(FailureKind.GARBLED, "probe a: the answer is incomplete")
    assert answers["b"].stdout == "2\n"


def test_answers_arrive_while_others_hang():
    """The reader gets each frame when it is complete, in whatever pieces the output arrives."""
    probes = [
        sh("a", "echo 1"),
        sh("b", "trap '' TERM; sleep 9", timeout_s=2),
        sh("c", "seq 1 20000", limit_bytes=200_000),
    ]
    arrived: dict[str, float] = {}
    reader = AnswerReader(probes, WORD, lambda name, _: arrived.update({name: time.monotonic()}))
    with subprocess.Popen(
        ["/bin/sh", "-c", shell_command(script(probes, WORD, 60))], stdout=subprocess.PIPE
    ) as process:
        while piece := os.read(process.stdout.fileno(), 999):
            reader.take(piece)

    assert list(arrived) == ["a", "c", "b"]
    assert arrived["b"] - arrived["c"] > 0.5
    assert reader.answers()["c"].stdout.count("\n") == 20000


@pytest.mark.parametrize("cut", [1, 20, 60, 110])
def test_truncated_frame_is_a_failure(cut):
    """A partial answer does not count, in each place where the connection broke. A timeout names the probe and its command."""
    probes = [sh("a", "echo 1"), sh("b", "echo 2")]
    whole = output_of(probes)
    late = Failure(FailureKind.TIMEOUT, "sigsrv: no answer in 15 s")

    assert read(probes, whole)["b"].stdout == "2\n"
    assert read(probes, whole[: -1 - cut], late)["b"].failure == Failure(
        FailureKind.TIMEOUT, "probe b (`sh -c 'echo 2'`): sigsrv: no answer in 15 s"
    )
    assert read(probes, whole[: -1 - cut])["b"].failure == Failure(
        FailureKind.GARBLED, "probe b: the answer is incomplete"
    )


@pytest.mark.parametrize(
    "raw",
    [
        b"",
        b"hi\n",
        content(status=""),
        content(status="1x"),
        content(passed_on="x"),
        content(passed_on="137"),
        content(passed_on="141"),
        content()[:-1],
        content()[:-4],
        content(stderr="err")[:-2] + b"9\n",
        content(stderr="err")[:-2] + b"999999\n",
        content().removeprefix(b"hi\n").replace(f"\n{WORD} 0\n".encode(), b"", 1),
    ],
)
def test_damaged_content_of_a_frame_is_a_failure(raw):
    """A missing exit status, a missing end and a wrong length are failures of the probe."""
    whole = read([sh("a", "true")], frame("a", content(stderr="err")))["a"]
    answer = read([sh("a", "true")], frame("a", raw))["a"]

    assert (whole.failure, whole.rc, whole.stdout, whole.stderr) == (None, 0, "hi\n", "err")
    assert answer.failure is not None
    assert answer.stdout == ""


@pytest.mark.parametrize(
    "broken",
    [
        f"{WORD} other 4\naGk=",
        f"{WORD} a 99999999999\n",
        f"{WORD} a -4\naGk=",
        f"{WORD} a x\n",
        f"{WORD} {'a' * 500}",
        f"{WORD} \n",
    ],
)
def test_header_that_the_script_can_t_have_written_ends_the_reading(broken):
    """An unknown probe, a wrong count, a second answer. What arrived before counts."""
    probes = [sh("a", "true"), sh("b", "true")]
    answers = read(probes, frame("b", content()) + broken.encode() + frame("a", content("forged\n")), piece=7)

    assert answers["b"].stdout == "hi\n"
    assert answers["a"].failure is not None
    again = read(probes, frame("b", content()) + frame("b", content("forged\n")) + frame("a", content()))
    assert again["b"].stdout == "hi\n"
    assert again["a"].failure is not None


def test_frame_that_is_no_base64_is_a_failure():
    """Nothing of it counts, and the next frame is read."""
    probes = [sh("a", "true"), sh("b", "true")]
    coded = frame("a", content())
    answers = read(probes, coded.replace(b"\n", b"\n!", 1)[: len(coded) - 1] + b"\n" + frame("b", content()))

    assert answers["a"].failure == Failure(FailureKind.GARBLED, "probe a: the answer is damaged")
    assert answers["b"].stdout == "hi\n"


@pytest.mark.parametrize("program", ["base64", "head", "cat"])
@pytest.mark.parametrize("kept", ["head -n 1", "head -c 57", "true"])
def test_an_answer_that_a_killed_program_cuts_is_a_failure(tmp_path, program, kept):
    """What a program of the pipe leaves when it is killed looks valid: a shorter output, or none. The verdict would be wrong."""
    killed = tmp_path / program
    killed.write_text(f'#!/bin/sh\n{shutil.which(program)} "$@" | /usr/bin/env PATH=/usr/bin:/bin {kept}\nkill -9 $$\n')
    killed.chmod(0o755)
    answer = run(sh("a", "seq 1000 1100; seq 1 9 >&2; exit 7"), path=tmp_path)["a"]

    assert (answer.failure and answer.failure.kind, answer.stdout) == (FailureKind.GARBLED, "")


def test_probe_that_needs_root_runs_with_sudo_for_other_users(tmp_path):
    """The script checks its user once. sudo never prompts."""
    (tmp_path / "id").write_text("#!/bin/sh\necho 1000\n")
    (tmp_path / "sudo").write_text('#!/bin/sh\necho "under sudo: $*"\n')
    for name in ("id", "sudo"):
        (tmp_path / name).chmod(0o755)
    answers = run(Probe("a", ("echo", "one"), "test", root=True), Probe("b", ("echo", "two"), "test"), path=tmp_path)

    assert answers["a"].stdout == "under sudo: -n echo one\n"
    assert answers["b"].stdout == "two\n"


def test_limits_fit_what_a_probe_prints():
    """Most print a few lines. What a large host prints still fits into what a host may send."""
    limits = {probe.id: probe.limit for probe in select(ProbeOptions(zfs=True, backups="/srv"))}

    assert [limits[name] for name in ("clock-begin", "meminfo", "zpool-list")] == ["64 KiB"] * 3
    assert {name for name, limit in limits.items() if limit == "16 MiB"} == {
        *("link", "addr", "fdb", "nft"),
        *("passwd", "groups", "journal", "backups"),
    }
    assert limit_bytes(TABLE) == HOST_BYTES
    assert limit_bytes([sh("a", "true")]) < 300_000


@pytest.mark.parametrize("kind", flood.KINDS)
def test_no_host_costs_much_cpu_or_memory(kind):
    """60 probes with 16 MiB of anything: what that costs is measured in a process of its own."""
    done = subprocess.run(
        [sys.executable, "-m", "tests.flood", kind], capture_output=True, text=True, check=False, cwd=ROOT
    )
    assert done.returncode == 0, done.stderr
    cost = json.loads(done.stdout)

    assert cost["cpu_s"] < 10
    assert cost["mib"] < 400
    assert sum(cost["failures"].values()) == 60
    assert cost["failures"].get("", 0) <= 2, "64 MiB hold no more"
