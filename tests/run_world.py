"""Provides this machine as a host with two files, and runs that fix them.

The evaluation reads the content of each file.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path

import pytest

from sigsrv.commands.remediate import hosts_of
from sigsrv.model import remediation
from sigsrv.model.finding import Finding, Severity, Verdict
from sigsrv.remediate.host_locks import Refused
from sigsrv.remediate.hosts import Hosts, Snapshot
from sigsrv.remediate.journal import Journal
from sigsrv.remediate.picture import Picture
from sigsrv.remediate.planning import FixRequest
from sigsrv.remediate.runs import Limits, Runner, StepResult, make_plan
from sigsrv.remediate.undoing import find_run, finish_interrupted, finish_interrupted_before_scan, make_undo_plan, undo
from sigsrv.scan.options import DEMO, Options
from sigsrv.scan.plan import prepare
from tests.local_host import Host, local_host
from tests.test_remediate_safety_checks import facts

YAML = """\
title: Write the expected content into the file
fixes: [NET-001]
disruption: network
changes: bridge
survives_reboot: false
disrupts: Nothing but the file.
undo: Restores the old content.
parameters: {file: the file}
timeout_s: 5
"""
APPLY = 'file={{ file }}\ncp "$file" "$SIGSRV_STATE/old"\necho new >"$file"\necho "$file: new"\n'
TOUCHES = "- {kind: file, name: {{ file }}}\n"
UNDO = 'file={{ file }}\n[ ! -e "$SIGSRV_STATE/old" ] || cp "$SIGSRV_STATE/old" "$file"\n'


class World:
    """Represents one host with two files. A file fails a policy unless it says "new".

    extra_findings: returns further findings. pictures: returns the pictures of the hosts, none by default. delay_s: how long an
    evaluation takes. messages: the lines shown to the operator.
    """

    def __init__(self, host: Host, monkeypatch: pytest.MonkeyPatch) -> None:
        self.host = host
        self.files = {name: host.folder / name for name in ("a", "b")}
        for path in self.files.values():
            path.write_text("old\n")
        self.scripts = host.folder / "remediations" / "write-file"
        self.scripts.mkdir(parents=True)
        for name, text in (
            ("remediation.yaml", YAML),
            ("apply.sh.j2", APPLY),
            ("undo.sh.j2", UNDO),
            ("touches.yaml.j2", TOUCHES),
        ):
            (self.scripts / name).write_text(text)
        self.extra_findings = lambda: ()
        self.pictures: Callable[[], Mapping[str, Picture]] = dict
        self.delay_s = 0.0
        self.facts = facts()
        load = remediation.load
        monkeypatch.setattr(remediation, "load", lambda folder=None: load(self.scripts.parent))
        self.hosts = self.reached_by(Options(evidence=DEMO, connection="local"))
        self.journal = Journal(host.folder / "journal.sqlite")
        self.limits = Limits(confirm_s=8, paths=host.paths)
        self.messages: list[str] = []

    def reached_by(self, options: Options) -> Hosts:
        """Return the hosts of the demo, reached with other options. Their findings are those of the two files."""
        found = hosts_of(prepare(options))
        return replace(found, scan=lambda: Snapshot(self.evaluate(), self.facts), look=lambda _: self.pictures())

    def evaluate(self) -> tuple[Finding, ...]:
        time.sleep(self.delay_s)
        found = [
            finding(name, Verdict.PASS if path.read_text() == "new\n" else Verdict.FAIL, file=str(path))
            for name, path in self.files.items()
        ]
        return (*found, *self.extra_findings())

    def state(self) -> list[str]:
        return [path.read_text().strip() for path in self.files.values()]

    @property
    def leftovers(self) -> list[str]:
        return self.host.leftovers

    def runner(self) -> Runner:
        return Runner(self.hosts, self.journal, self.messages.append, self.limits)

    def apply(self, request: FixRequest | None = None, runner: Runner | None = None) -> list[StepResult]:
        request = request or FixRequest(policies=("NET-001",))
        finish_interrupted_before_scan(self.hosts, self.runner(), self.journal, self.messages.append)
        runner = runner or self.runner()
        shown = make_plan(self.hosts, request, self.journal, self.limits)
        if shown.refusals:
            raise Refused(shown.refusals)
        with runner.lock_hosts([step.fix for step in shown.steps]) as locks:
            finish_interrupted(self.hosts, self.journal, locks, self.messages.append)
            return list(runner.apply(locks, shown, request))

    def undo(self, run: str) -> list[StepResult]:
        runner = self.runner()
        shown = make_undo_plan(self.hosts, self.journal, find_run(self.journal, run), self.limits)
        with runner.lock_hosts([step.fix for step, _ in shown.steps], run) as locks:
            return list(undo(self.hosts, runner, shown, locks))

    def end_states(self) -> list[str]:
        """Return how the steps of the journal ended, oldest first."""
        return [step.end for run in reversed(self.journal.history()) for step in run.steps]


def finding(
    name: str, verdict: Verdict, file: str = "", policy: str = "NET-001", because: str | None = None
) -> Finding:
    fix = {"file": file}
    return Finding(policy, "t", Severity.HIGH, "minisrv", name, verdict, "new", "old", "", because, "write-file", fix)


@contextmanager
def two_files(folder: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[World]:
    """Provide a world in a folder. No test waits long for a member to be Online again."""
    monkeypatch.setenv("HERE", str(folder))
    monkeypatch.setattr("sigsrv.remediate.transaction._RECOVERY_S", 0.1)
    with local_host(folder) as host:
        found = World(host, monkeypatch)
        yield found
        found.journal.close()


A = FixRequest(findings=("NET-001@minisrv/a",))
