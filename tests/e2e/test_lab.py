"""Tests the lab itself: down removes everything that up created, and errors are one line.

It calls lab/lab and lab/fault as a user does, as subprocesses. It leaves the lab as it found it, up or down.
"""

import os
import re
import select
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

LAB = Path(__file__).resolve().parents[2] / "lab"
STATE = Path(os.path.realpath(os.environ.get("SIGSRV_LAB_DIR", "/var/tmp/sigsrv-lab")))
GENERATED = ("ssh_config", "ssh_config.audit", "ssh_config.noaccess", "known_hosts", "site.yaml")
NAMESPACES = ("mnt", "net", "pid", "uts", "ipc", "cgroup")
FAULTS = sorted(path.stem for path in (LAB / "faults").glob("*.sh"))

pytestmark = pytest.mark.lab("ns")
linux = pytest.mark.skipif(sys.platform != "linux", reason="the lab needs Linux")
root = pytest.mark.skipif(sys.platform != "linux" or os.geteuid() != 0, reason="the lab needs Linux and root")


def run(program, *arguments, timeout_s=300, pass_fds=()):
    return subprocess.run(
        [LAB / program, *arguments],
        pass_fds=pass_fds,
        capture_output=True,
        text=True,
        timeout=timeout_s,
        check=False,
        stdin=subprocess.DEVNULL,
    )


def bring_up(pass_fds=()):
    result = run("lab", "up", pass_fds=pass_fds)
    if result.returncode == 3 and os.environ.get("CI") != "true":
        pytest.skip(result.stderr.splitlines()[0])
    assert result.returncode == 0, result.stderr
    return result


def processes():
    """Return the processes outside the kernel as (pid, start time, command line), with their namespaces and cgroups."""
    found = {}
    for folder in Path("/proc").glob("[0-9]*"):
        try:
            command = (folder / "cmdline").read_bytes().replace(b"\0", b" ").decode(errors="replace")
            started = (folder / "stat").read_text().rpartition(")")[2].split()[19]
            namespaces = {str((folder / "ns" / name).readlink()) for name in NAMESPACES}
            cgroups = (folder / "cgroup").read_text()
        except OSError:  # the process has just ended
            continue
        if command:
            found[folder.name, started, command] = namespaces, cgroups
    return found


def namespaces():
    return set().union(*(spaces for spaces, _ in processes().values()))


def traces():
    """Return everything on this machine that a lab adds to, except processes, which come and go by themselves."""
    return {
        "mounts": sorted(line.split()[4] for line in Path("/proc/self/mountinfo").read_text().splitlines()),
        "links": sorted(path.name for path in Path("/sys/class/net").iterdir()),
        "cgroups": sorted(at for at, _, _ in os.walk("/sys/fs/cgroup") if Path(at).name.startswith("sigsrv-lab")),
        "loop devices": [path.read_text() for path in Path("/sys/block").glob("loop*/loop/backing_file")],
        "files": sorted(name for name in GENERATED if (LAB / name).exists()) + [str(STATE)] * STATE.exists(),
        "apt": sorted(str(path) for path in Path("/usr/sbin").glob("policy-rc.d")),
    }


def lab_processes(known_namespaces):
    """Return the processes that only the lab can own: in its cgroups, or in new namespaces."""
    return [
        key for key, (spaces, cgroups) in processes().items() if spaces - known_namespaces or "sigsrv-lab" in cgroups
    ]


@pytest.fixture(scope="module")
def lab_down():
    """Take the lab down for the tests of this module, and restore its state at the end."""
    was_up = run("lab", "status").returncode == 0
    assert run("lab", "down").returncode == 0
    yield
    if was_up:
        bring_up()
    else:
        run("lab", "down")


@root
def test_down_leaves_nothing_and_second_up_changes_nothing(lab_down):
    """A second up ends at once. After down the machine is as it was before up.

    The lab does not keep open files of its caller open. Otherwise a lock of the caller would never be released.
    """
    before, known = traces(), namespaces()
    ours, handed_on = os.pipe()

    bring_up(pass_fds=(handed_on,))
    os.close(handed_on)
    closed = bool(select.select([ours], [], [], 0)[0])  # readable means closed: no process has the other side open
    os.close(ours)
    first = lab_processes(known), traces(), {name: (LAB / name).stat().st_mtime_ns for name in GENERATED}
    began = time.monotonic()
    again = bring_up()
    took_s = time.monotonic() - began
    second = lab_processes(known), traces(), {name: (LAB / name).stat().st_mtime_ns for name in GENERATED}
    ssh = ["ssh", "-F", LAB / "ssh_config", "minisrv", "hostname"]
    login = subprocess.run(ssh, capture_output=True, text=True, timeout=20, check=False)
    down = run("lab", "down")

    assert first[0], "this test does not see the lab's processes"
    assert first[1] != before, "this test does not see the lab's traces"
    assert closed
    assert took_s < 2
    assert "up already" in again.stdout
    daemons = {key for key in first[0] if "incusd --" in key[2]}
    assert len(daemons) == 2
    assert daemons <= set(second[0])
    assert second[1:] == first[1:]
    assert (login.returncode, login.stdout) == (0, "minisrv\n"), login.stderr
    assert down.returncode == 0, down.stderr
    assert lab_processes(known) == []
    assert traces() == before


@root
@pytest.mark.usefixtures("interruptible")
@pytest.mark.parametrize(("after_s", "sent", "status"), [(1.0, signal.SIGTERM, 143), (6.0, signal.SIGINT, 130)])
def test_interrupted_up_takes_itself_down(lab_down, after_s, sent, status):
    """Interrupted early or late, up leaves no process, mount, cgroup, link or file."""
    before, known = traces(), namespaces()

    with subprocess.Popen([LAB / "lab", "up"], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as up:
        time.sleep(after_s)
        if up.poll() is not None:
            pytest.skip(f"up ended in less than {after_s} s: {up.stderr.read()}")
        up.send_signal(sent)
        _, errors = up.communicate(timeout=60)

    assert up.returncode == status, errors
    assert lab_processes(known) == []
    assert traces() == before


@root
def test_down_of_a_lab_that_is_down_succeeds(lab_down):
    """status, exec and fault report that the lab is not up, with exit status 3."""
    assert run("lab", "down").returncode == 0
    for command in (["lab", "status"], ["lab", "exec", "sigsrv", "true"], ["fault", "vlan-detached", "sigsrv"]):
        result = run(*command)
        assert result.returncode == 3
        assert result.stderr.splitlines()[0].endswith("error: the lab is not up")
        assert re.search(r"hint: .*lab up$", result.stderr)


@linux
@pytest.mark.parametrize(
    ("program", "arguments", "message"),
    [
        ("lab", ["upp"], "unknown command: upp"),
        ("lab", ["up", "now"], "up takes no arguments: now"),
        ("lab", ["exec", "sigsrv"], "exec needs a host and a command"),
        ("lab", ["exec", "nosrv", "true"], "unknown host: nosrv"),
        ("fault", [], "a fault needs its name and a host"),
        ("fault", ["vlan-detached"], "a fault needs its name and a host"),
        ("fault", ["vlan-detachd", "sigsrv"], "did you mean vlan-detached?"),
        ("fault", ["../lib/fault", "sigsrv"], "unknown fault: ../lib/fault"),
        ("fault", ["vlan-detached", "nosrv"], "the hosts are sigsrv minisrv"),
        ("fault", ["--fix", "vlan-detached", "sigsrv"], "unknown option: --fix"),
    ],
)
def test_usage_error_is_two_lines_and_status_2(program, arguments, message):
    """It prints one error and one hint, and changes nothing."""
    result = run(program, *arguments)

    assert result.returncode == 2
    assert message in result.stderr
    assert [line.split()[1] for line in result.stderr.splitlines()] == ["error:", "hint:"]
    assert result.stdout == ""


@linux
@pytest.mark.parametrize("program", ["lab", "fault"])
def test_help_lists_the_exit_statuses(program):
    """--help ends with exit status 0."""
    result = run(program, "--help")

    assert result.returncode == 0
    assert "exit status: 0 done" in result.stdout


@linux
def test_fault_list_has_effect_and_policies_of_each_fault():
    """Each file in faults/ has one line: its effect, the policies that find it, and the lab if only one supports it."""
    lines = run("fault", "--list").stdout.partition("\nno fault shows\n")[0].splitlines()

    assert [line.split()[0] for line in lines] == FAULTS
    assert FAULTS
    for line in lines:
        assert re.fullmatch(r"\S+ +\S.* \([A-Z]+-\d{3}(, [A-Z]+-\d{3})*\)( \[(ns|vm)\])?", line), line
