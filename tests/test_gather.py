"""Tests the collection on one host: the order of probes and API, programs that hang, and the end of the host's time."""

from __future__ import annotations

import dataclasses
import shlex
import subprocess
import threading
import time
from pathlib import Path
from typing import Any

import pytest

from sigsrv.collect import hosts
from sigsrv.collect.connection import open_session
from sigsrv.collect.evidence import ApiAnswer, Evidence, Failure
from sigsrv.collect.hosts import collect, gather
from sigsrv.collect.probes import BEFORE_API, TABLE, Probe
from sigsrv.collect.running import run_probes
from sigsrv.collect.session import LocalSession
from sigsrv.collect.target import Target
from sigsrv.model.errors import FailureKind
from tests.frozen import Frozen, frozen
from tests.loopback_sshd import loopback_sshd


class FrozenSession(LocalSession):
    """A session where the frozen file system is mounted."""

    def __init__(self, disk: Frozen) -> None:
        super().__init__(Target("here", connection="local", timeout_s=15.0))
        self._enter = disk.enter

    def run(self, command: str, *more: Any, **options: Any) -> tuple[int, bytes, bytes]:
        return super().run(shlex.join([*self._enter, "/bin/sh", "-c", command]), *more, **options)


def sh(name: str, code: str, **more: Any) -> Probe:
    return Probe(name, ("sh", "-c", code), "a test", **more)


@pytest.fixture
def api(monkeypatch):
    """Replace the requests to the API. Returns the times at which they began."""
    began: list[float] = []

    def answer(*_: Any) -> dict[str, ApiAnswer]:
        began.append(time.time())
        return {"/1.0": ApiAnswer(200, {})}

    monkeypatch.setattr(hosts, "collect_api", answer)
    return began


def local(*probes: Probe, timeout_s: float = 15.0) -> Evidence:
    with open_session(Target("here", connection="local", timeout_s=timeout_s)) as session:
        return gather(session, "here", probes)


def hanging(folder: Path) -> list[Probe]:
    """Return probes of a host with a suspended pool. folder: on a frozen file system."""
    names = ("zpool-json", "zpool-text", "zpool-list", "zfs-created")
    stuck = [Probe(name, ("touch", str(folder / name)), "a test", timeout_s=3) for name in names]
    before = [sh("clock-begin", "date +%s.%N"), *(sh(name, f"echo {name}") for name in sorted(BEFORE_API))]
    after = [
        sh("df", f"touch {folder}/df; echo never", timeout_s=2),
        sh("nft", "echo []"),
        sh("clock-end", "date +%s.%N"),
    ]
    return [*before, *stuck, *after, sh("apt-upgrade", "date +%s.%N", slow=True)]


def assert_only_stuck_ones_failed(seen: Evidence, folder: Path, began: float, api: list[float]) -> None:
    """Check that the others and the API answered without a delay, and that each reason names its probe and command."""
    failed = {name: answer.failure for name, answer in seen.probes.items() if answer.failure}
    assert list(failed) == ["zpool-json", "zpool-text", "zpool-list", "zfs-created", "df"]
    assert {failure.kind for failure in failed.values()} == {FailureKind.TIMEOUT}
    assert failed["zpool-json"].reason == (
        f"probe zpool-json (`touch {folder}/zpool-json`): not finished in 3 s, and not ended by SIGKILL: it hangs in the kernel. "
        "See `ps -eo pid,stat,wchan:32,args` on the host (state D)"
    )
    assert failed["df"].reason.startswith(f"probe df (`sh -c 'touch {folder}/df; echo never'`): not finished in 2 s")
    assert seen.api["/1.0"].failure is None
    settled = float(seen.probes["clock-end"].stdout)
    assert api[0] < settled < float(seen.probes["apt-upgrade"].stdout) < began + seen.seconds
    assert seen.probed is not None
    assert settled <= seen.probed[1] < began + seen.seconds - 0.5, (
        "the clocks are compared before the last one is given up"
    )
    assert seen.seconds < 14


def test_program_that_hangs_in_the_kernel_costs_its_own_probe_on_this_machine(tmp_path, api):
    """A suspended pool: SIGKILL ends none of these programs, and they keep their outputs open."""
    with frozen(tmp_path) as disk:
        began = time.time()
        with FrozenSession(disk) as session:
            seen = gather(session, "here", hanging(disk.folder))

    assert_only_stuck_ones_failed(seen, disk.folder, began, api)


def test_program_that_hangs_in_the_kernel_costs_its_own_probe_over_ssh(tmp_path, api):
    """sshd closes the connection although these programs are still there. Nothing else of the scan is left."""
    with frozen(tmp_path) as disk, loopback_sshd(tmp_path, *disk.enter) as sshd:
        began = time.time()
        target = Target("here", ssh_config=str(sshd.ssh_config()), timeout_s=15.0)
        seen = collect(target, "here", hanging(disk.folder))
        time.sleep(1)
        left = subprocess.run(
            ["ps", "-ww", "-eo", "stat,args"], capture_output=True, text=True, check=True
        ).stdout.splitlines()

    assert_only_stuck_ones_failed(seen, disk.folder, began, api)
    mine = [
        line for line in left if str(disk.folder) in line and "fsfreeze" not in line
    ]  # that one holds the file system
    assert {line.split()[1] for line in mine} == {"touch"}


def test_api_is_asked_while_probes_run(api):
    """The first request waits only for the probes that must come before it: a request starts the daemon."""
    first = [sh(name, "sleep 0.3; date +%s.%N") for name in sorted(BEFORE_API)]
    seen = local(*first, sh("late", "sleep 2"), sh("end", "date +%s.%N"))

    assert max(float(seen.probes[name].stdout) for name in BEFORE_API) < api[0] < float(seen.probes["end"].stdout)
    assert {probe.id for probe in TABLE} > BEFORE_API


def test_slow_probes_wait_for_the_api(monkeypatch):
    """They use the processor or the disk much, and the requests have little time."""
    ended: list[float] = []
    monkeypatch.setattr(hosts, "collect_api", lambda *_: time.sleep(1) or ended.append(time.time()) or {})
    seen = local(sh("a", "true"), sh("last", "date +%s.%N", slow=True))

    assert float(seen.probes["last"].stdout) > ended[0]


def test_slow_probe_without_remaining_time_reports_the_timeout(monkeypatch):
    """Earlier requests used the time of the host. The probe does not start, and the answers before it are kept."""
    with open_session(Target("sigsrv", connection="local")) as session:
        monkeypatch.setattr(hosts, "collect_api", lambda *_: session.extend(-1) or {})
        found = gather(session, "sigsrv", [Probe("quick", ("true",), "x"), Probe("last", ("true",), "x", slow=True)])

    assert found.probes["quick"].failure is None
    assert found.probes["last"].failure == Failure(
        FailureKind.TIMEOUT, "sigsrv: not run: the host's timeout expired first"
    )


def test_end_of_the_time_of_a_host_names_the_probe_that_is_missing(api):
    """The other answers and the API count. Nothing keeps running."""
    began = time.monotonic()
    seen = local(sh("a", "echo 1"), sh("b", "sleep 30", timeout_s=30), sh("c", "echo 3"), timeout_s=3)

    assert time.monotonic() - began < 8
    assert [answer.failure is None for answer in seen.probes.values()] == [True, False, True]
    assert seen.probes["b"].failure.kind is FailureKind.TIMEOUT
    assert seen.probes["b"].failure.reason.startswith("probe b (`sh -c 'sleep 30'`): here: ")
    assert len(api) == 1


@pytest.mark.parametrize(
    "said",
    [
        "echo This account is not available. It is locked for now.",
        "echo This account is not available. It is locked for now. >&2",
    ],
)
def test_account_that_can_t_run_a_script_is_denied_with_its_message(monkeypatch, said):
    """Its login shell prints a message instead."""
    session = open_session(Target("here", connection="local"))
    monkeypatch.setattr(session, "run", lambda _, *more, **options: LocalSession.run(session, said, *more, **options))
    with session:
        answers = run_probes(session, [sh("a", "true"), sh("b", "true")])

    reason = "here: the account can't run a script: This account is not available. It is locked for now."
    assert [answer.failure for answer in answers.values()] == [Failure(FailureKind.DENIED, reason)] * 2


def test_bug_in_the_collection_of_a_host_does_not_hang(monkeypatch):
    """The thread of the API waits for the probes. If reading them breaks, it ends too."""

    def broken(session: Any, probes: Any, on_answer: Any = None) -> Any:
        on_answer(probes[0].id, None)
        raise ZeroDivisionError

    monkeypatch.setattr(hosts, "collect_api", lambda *_: {})
    monkeypatch.setattr(hosts, "run_probes", broken)
    found: list[Evidence] = []
    probes = [dataclasses.replace(sh("a", "true")), sh("b", "true")]
    thread = threading.Thread(
        target=lambda: found.append(collect(Target("here", connection="local"), "here", probes)), daemon=True
    )
    thread.start()
    thread.join(10)

    assert "bug in sigsrv" in found[0].failure.reason
