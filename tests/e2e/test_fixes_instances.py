"""Tests fixes of instances, volumes, projects and images on the lab among what others change meanwhile.

A fix restarts an instance once. Its undo leaves alone what somebody set since, and finds each object by what it is: a rename, a deletion
or a namesake never blocks the site.
"""

from __future__ import annotations

import json
import re
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
import yaml

from tests.e2e import operator
from tests.e2e.conftest import ROOT, Lab, verdicts
from tests.e2e.operator import clean_in_the_end, nothing_left, one_line

pytestmark = pytest.mark.lab

__all__ = ["clean_in_the_end", "nothing_left"]

SVC = "sigsrv/default/svc-a"


class Operator(operator.Operator):
    """Fixes and undoes findings that must be verified."""

    def declare(self, **values: Any) -> None:
        """Use a site file with other values."""
        self.use(self.site() | values)

    def fix(self, *findings: str) -> str:
        """Fix findings; they must be verified. Returns the run."""
        done = self.remediate(*findings, "--yes")
        assert done.returncode == 0, done.stdout + done.stderr
        (run,) = re.findall(r"--undo (\S+)", done.stdout)
        return str(run)

    def undo(self, run: str, kept: bool = False) -> str:
        """Undo a run; it must be verified. kept: whether something stays that somebody changed. Returns the output in one line."""
        done = self.remediate("--undo", run, "--yes")
        assert done.returncode == int(kept), done.stdout + done.stderr
        assert "verified: " in done.stdout
        return one_line(done)


@pytest.fixture(name="operator")
def an_operator(lab: Lab, tmp_path: Path) -> Operator:
    return Operator(lab, tmp_path)


def incus(lab: Lab, *argv: str, host: str = "sigsrv") -> str:
    return lab.on(host, "incus", "-q", *argv).strip()


@contextmanager
def faults(lab: Lab, host: str, *names: str) -> Iterator[None]:
    try:
        for name in names:
            lab.fault(name, host)
        yield
    finally:
        for name in reversed(names):
            lab.fault(name, host, heal=True)


@contextmanager
def instance(lab: Lab, name: str, *argv: str, project: str = "default", start: bool = True) -> Iterator[None]:
    """Create a small container on sigsrv, and delete all of this name, or of the name with a 2 behind it, in the end."""
    verb = "launch" if start else "init"
    try:
        incus(lab, verb, "busybox", name, "--project", project, "--target", "sigsrv", *argv)
        yield
    finally:
        for each in (name, f"{name}2"):
            lab.command(*lab.program, "exec", "sigsrv", "incus", "delete", "-f", each, "--project", project)


@contextmanager
def restarts(lab: Lab) -> Iterator[list[str]]:
    """Collect the names of instances that restart on sigsrv."""
    found: list[str] = []
    code = "echo $$; exec incus monitor --type lifecycle --format json"
    argv = [*lab.program, "exec", "sigsrv", "sh", "-c", code]
    with subprocess.Popen(argv, cwd=ROOT, stdout=subprocess.PIPE, text=True) as monitor:
        assert monitor.stdout
        process = monitor.stdout.readline().strip()
        time.sleep(1)  # until it listens
        try:
            yield found
            time.sleep(1)  # until the last event is there
        finally:
            lab.on("sigsrv", "kill", process)
            for line in filter(str.strip, monitor.stdout):
                event = json.loads(line)["metadata"]
                if event["action"] == "instance-restarted":
                    found.append(event["name"])


def test_instance_with_four_findings_restarts_once(lab, operator):
    """So does its undo. Plan, journal and history name all four."""
    findings = [f"{policy}@{SVC}" for policy in ("INST-001", "INST-002", "INST-003", "INST-008")]
    with faults(lab, "sigsrv", "privileged-instance", "nested", "raw-setting", "intercepted"):
        before = incus(lab, "config", "show", "svc-a")
        plan = json.loads(operator.remediate(*findings, "--plan", "--json").stdout)
        (step,) = plan["steps"]
        assert [step["finding"], *(each["finding"] for each in step["also"])] == findings

        with restarts(lab) as found:
            run = operator.fix(*findings)
        assert found == ["svc-a"]
        assert {key: verdicts(lab.scan()[0])[key] for key in findings} == dict.fromkeys(findings, "pass")

        with restarts(lab) as found:
            operator.undo(run)
        assert found == ["svc-a"]
        volatile = re.compile(r"\n  volatile\..*")
        assert volatile.sub("", incus(lab, "config", "show", "svc-a")) == volatile.sub("", before)
        history = operator.remediate("--history").stdout
        for finding in findings:
            assert len(re.findall(f"verified, undone by \\S+: {finding}\n", history)) == 1


def test_limit_that_somebody_raised_since_stays(lab, operator):
    """The undo says so. Before, it unset the limit and called that as before."""
    with faults(lab, "sigsrv", "unlimited"):
        run = operator.fix(f"INST-006@{SVC}")
        assert incus(lab, "config", "get", "svc-a", "limits.processes") == "2000"
        incus(lab, "config", "set", "svc-a", "limits.processes=5000")
        try:
            output = operator.undo(run, kept=True)
            assert incus(lab, "config", "get", "svc-a", "limits.processes") == "5000"
        finally:
            incus(lab, "config", "unset", "svc-a", "limits.processes")

    assert "default/svc-a: limits.processes is 5000, not 2000 as the fix left it" in output


def test_undo_finds_a_renamed_instance_and_leaves_its_namesake_alone(lab, operator):
    """It is the same instance under another name. A new one of the old name has nothing to do with the fix."""
    operator.declare(critical=["default/svc-a", "default/tmpa"])
    with instance(lab, "tmpa"):
        run = operator.fix("VOL-001@sigsrv/default/tmpa")
        incus(lab, "stop", "-f", "tmpa")
        incus(lab, "rename", "tmpa", "tmpa2")
        incus(
            lab,
            "init",
            "busybox",
            "tmpa",
            "--target",
            "sigsrv",
            "-c",
            "snapshots.schedule=@hourly",
            "-c",
            "snapshots.expiry=1d",
        )
        incus(lab, "snapshot", "create", "tmpa", "own")

        output = operator.undo(run)

        assert "default/tmpa is default/tmpa2 now" in output
        assert incus(lab, "config", "get", "tmpa2", "snapshots.schedule") == ""
        assert incus(lab, "snapshot", "list", "tmpa2", "-f", "csv") == ""
        assert incus(lab, "config", "get", "tmpa", "snapshots.schedule") == "@hourly"
        assert incus(lab, "snapshot", "list", "tmpa", "-f", "csv", "-c", "n") == "own"


def test_undo_waits_for_a_member_that_may_have_the_instance(lab, operator):
    """The instance was moved there. Incus can't show it while that member does not answer; before, the undo took it for deleted."""
    own = ("--device", "eth0,security.mac_filtering=false")
    with instance(lab, "tmpa", *own, project="restricted"):
        run = operator.fix("INST-010@sigsrv/restricted/tmpa")
        incus(lab, "stop", "-f", "tmpa", "--project", "restricted")
        incus(lab, "move", "tmpa", "--target", "minisrv", "--project", "restricted")
        with faults(lab, "minisrv", "incusd-stopped"):
            done = operator.remediate("--undo", run, "--yes")
        assert done.returncode in (1, 4), done.stdout + done.stderr
        assert "nothing left to undo" not in one_line(done)
        assert "not undone" in one_line(done)

        operator.undo(run)
        device = ("config", "device", "get", "tmpa", "eth0", "security.mac_filtering", "--project", "restricted")
        assert incus(lab, *device) == "false"


@pytest.mark.parametrize("namesake", [False, True])
def test_undo_of_a_deleted_instance_ends_well_and_blocks_nothing(lab, operator, namesake):
    """Before, the undo failed for ever, and each later fix of the site was refused."""
    operator.declare(critical=["default/svc-a", "default/tmpa"])
    with instance(lab, "tmpa"):
        run = operator.fix("VOL-001@sigsrv/default/tmpa")
        incus(lab, "delete", "-f", "tmpa")
        if namesake:
            incus(
                lab,
                "init",
                "busybox",
                "tmpa",
                "--target",
                "sigsrv",
                "-c",
                "snapshots.schedule=@daily",
                "-c",
                "snapshots.expiry=1d",
            )

        output = operator.undo(run)

        assert "nothing left to undo: the instance that was default/tmpa is gone" in output
        if namesake:
            assert "default/tmpa: it is another instance of the same name now" in output
            assert incus(lab, "config", "get", "tmpa", "snapshots.schedule") == "@daily"
    with faults(lab, "sigsrv", "nested"):
        operator.undo(operator.fix(f"INST-002@{SVC}"))


def test_undo_finds_an_instance_in_another_project(lab, operator):
    """A device that the fix removed comes back there."""
    with instance(lab, "tmpb", start=False):
        incus(lab, "config", "device", "add", "tmpb", "etc", "disk", "source=/etc", "path=/mnt")
        run = operator.fix("INST-004@sigsrv/default/tmpb")
        incus(lab, "rename", "tmpb", "tmpb2")

        output = operator.undo(run)

        assert "default/tmpb is default/tmpb2 now" in output
        assert incus(lab, "config", "device", "get", "tmpb2", "etc", "source") == "/etc"


def test_restricted_project_keeps_its_snapshots_and_backups(lab, operator, tmp_path):
    """Incus refused both to root too. A critical instance in the project made the fix impossible."""
    operator.declare(critical=["default/svc-a", "restricted/tenant2"])
    tenant = ("--project", "restricted", "tenant2")
    keys = {
        "boot.autostart": "true",
        "security.protection.delete": "true",
        "snapshots.schedule": "@daily",
        "snapshots.expiry": "2w",
    }
    incus(lab, "project", "set", "restricted", "restricted.snapshots=")
    with faults(lab, "sigsrv", "project-unrestricted"):
        try:
            incus(lab, "config", "set", *tenant, *(f"{key}={value}" for key, value in keys.items()))
            incus(lab, "snapshot", "create", *tenant, "first")
            before = incus(lab, "project", "show", "restricted")

            run = operator.fix("PROJ-001@cluster/restricted")
            incus(lab, "snapshot", "create", *tenant, "after")
            incus(lab, "export", *tenant, "/run/tenant2.tar.gz")
            assert incus(lab, "project", "get", "restricted", "restricted") == "true"

            incus(lab, "project", "set", "restricted", "restricted.backups=block")
            output = operator.undo(run, kept=True)
            assert "restricted: restricted.backups is block, not allow as the fix left it" in output
            incus(lab, "project", "set", "restricted", "restricted.backups=")
            assert incus(lab, "project", "show", "restricted") == before
        finally:
            for each in ("first", "after"):
                lab.command(*lab.program, "exec", "sigsrv", "incus", "snapshot", "delete", *tenant, each)
            for key in keys:
                incus(lab, "config", "unset", *tenant, key)
            lab.on("sigsrv", "rm", "-f", "/run/tenant2.tar.gz")


@pytest.mark.parametrize("allowed", [False, True], ids=["", "snapshots and backups allowed already"])
def test_project_with_a_forbidden_instance_is_not_restricted(lab, operator, allowed):
    """Incus would refuse each later change of each instance there."""
    value = "allow" if allowed else ""
    with faults(lab, "sigsrv", "project-unrestricted"):
        incus(lab, "project", "set", "restricted", f"restricted.snapshots={value}", f"restricted.backups={value}")
        try:
            with instance(lab, "tmpc", "-c", "security.nesting=true", project="restricted"):
                before = incus(lab, "project", "show", "restricted")
                done = operator.remediate("PROJ-001@cluster/restricted", "--yes")
                after = incus(lab, "project", "show", "restricted")
        finally:
            incus(lab, "project", "set", "restricted", "restricted.snapshots=", "restricted.backups=")

    assert done.returncode == 4, done.stdout + done.stderr
    said = "refused: restricted has what the restrictions forbid; fix that first: Container nesting is forbidden"
    assert said in one_line(done)
    assert after == before


def test_undo_of_a_volume_leaves_that_of_the_other_member_alone(lab, operator):
    """Pools that are local to a member may each have a volume of one name."""
    other = incus(lab, "query", "/1.0/storage-pools/nvme/volumes/custom/data?target=sigsrv")
    create = ("storage", "volume", "create", "nvme", "data", "--target", "minisrv", "size=16MiB")
    incus(lab, *create)
    try:
        run = operator.fix("VOL-001@minisrv/nvme/default/data")
        operator.undo(run)

        snapshots = "/1.0/storage-pools/nvme/volumes/custom/data/snapshots?target="
        assert incus(lab, "query", f"{snapshots}minisrv") == "[]"
        assert incus(lab, "query", f"{snapshots}sigsrv") != "[]"
        assert incus(lab, "query", "/1.0/storage-pools/nvme/volumes/custom/data?target=sigsrv") == other

        run = operator.fix("VOL-001@minisrv/nvme/default/data")
        incus(lab, "storage", "volume", "delete", "nvme", "data", "--target", "minisrv")
        incus(lab, *create, "snapshots.schedule=@daily", "snapshots.expiry=2w")
        incus(lab, "storage", "volume", "snapshot", "create", "nvme", "data", "own", "--target", "minisrv")
        output = operator.undo(run)
        assert "nvme/default/data: it is another volume of the same name now" in output
        assert "nothing left to undo: the volume that was nvme/default/data is gone" in output
    finally:
        incus(lab, "storage", "volume", "delete", "nvme", "data", "--target", "minisrv")


def test_undo_finds_a_renamed_volume(lab, operator):
    """It was made at the same time, on the same pool."""
    operator.declare(protected_volumes=["nvme/default/*"])
    incus(lab, "storage", "volume", "create", "nvme", "tmpv", "--target", "minisrv", "size=16MiB")
    try:
        run = operator.fix("VOL-001@minisrv/nvme/default/tmpv")
        incus(lab, "storage", "volume", "rename", "nvme", "tmpv", "tmpw", "--target", "minisrv")

        output = operator.undo(run)

        assert "nvme/default/tmpv is tmpw now" in output
        assert incus(lab, "query", "/1.0/storage-pools/nvme/volumes/custom/tmpw/snapshots?target=minisrv") == "[]"
        assert incus(lab, "storage", "volume", "get", "nvme", "tmpw", "snapshots.schedule", "--target", "minisrv") == ""
    finally:
        for name in ("tmpv", "tmpw"):
            argv = ("incus", "storage", "volume", "delete", "nvme", name, "--target", "minisrv")
            lab.command(*lab.program, "exec", "sigsrv", *argv)


def test_network_that_somebody_allowed_since_stays_on_the_list(lab, operator):
    """The undo takes out what the fix put in, never the whole list."""
    with faults(lab, "sigsrv", "project-any-network"):
        run = operator.fix("PROJ-004@cluster/user-bob")
        incus(lab, "project", "set", "user-bob", "restricted.networks.access=incusbr0,userbr0")
        projects = yaml.safe_load(lab.site.read_text())["projects"]
        projects[-1]["networks"].append("incusbr0")
        operator.declare(projects=projects)
        try:
            operator.undo(run)
            assert incus(lab, "project", "get", "user-bob", "restricted.networks.access") == "incusbr0"
        finally:
            incus(lab, "project", "set", "user-bob", "restricted.networks.access=")


def test_undo_finds_an_image_that_was_updated(lab, operator):
    """An update gives the image another fingerprint, and the alias goes to the new one."""
    for name in ("one", "two"):
        file = f"/run/{name}.tar"
        metadata = f"architecture: x86_64\ncreation_date: 1\nproperties: {{os: {name}}}\n"
        code = f"mkdir -p /run/{name}/rootfs && cd /run/{name} && printf %s '{metadata}' >metadata.yaml"
        lab.on("sigsrv", "sh", "-c", f"{code} && tar -cf {file} metadata.yaml rootfs")
    try:
        incus(lab, "image", "import", "/run/one.tar", "--alias", "tmpi", "--public")
        fingerprint = incus(lab, "image", "list", "tmpi", "-f", "csv", "-c", "F")
        run = operator.fix(f"IMG-003@cluster/default/{fingerprint[:12]}")
        incus(lab, "image", "delete", "tmpi")
        incus(lab, "image", "import", "/run/two.tar", "--alias", "tmpi")

        output = operator.undo(run)

        assert "the image was updated; its fingerprint is" in output
        assert (
            json.loads(
                incus(lab, "query", f"/1.0/images/{incus(lab, 'image', 'list', 'tmpi', '-f', 'csv', '-c', 'F')}")
            )["public"]
            is True
        )
    finally:
        incus(lab, "image", "delete", "tmpi")
        lab.on("sigsrv", "sh", "-c", "rm -rf /run/one* /run/two*")
