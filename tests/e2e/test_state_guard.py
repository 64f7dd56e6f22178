"""Tests on the lab that a fix changes what it declares and nothing else: on all members, on this host's own daemon, beside other people."""

from __future__ import annotations

import re
import signal
import time
from pathlib import Path

import pytest

from tests.e2e.conftest import Lab, clean, verdicts
from tests.e2e.safety import leftovers, remediate, start

pytestmark = pytest.mark.lab

FIX = "ACL-001@cluster/userbr0"
NETWORK = ("incus", "network", "get", "userbr0", "security.acls")
CLIENT = "/root/.config/incus"
# A stand-in for another server: writes down the first line of each request, and answers as this host's own daemon.
OTHER = """\
import socket, sys, threading
path, log = sys.argv[1:]
listening = socket.socket(socket.AF_UNIX)
listening.bind(path)
listening.listen(50)
def pump(source, sink, notes):
    try:
        while data := source.recv(65536):
            if notes:
                with open(log, "ab") as file:
                    file.write(data.split(b"\\r\\n")[0] + b"\\n")
            sink.sendall(data)
    except OSError:
        pass
    source.close(); sink.close()
while True:
    client, _ = listening.accept()
    daemon = socket.socket(socket.AF_UNIX)
    daemon.connect("/var/lib/incus/unix.socket")
    for one, two, notes in ((client, daemon, True), (daemon, client, False)):
        threading.Thread(target=pump, args=(one, two, notes), daemon=True).start()
"""


@pytest.fixture
def detached(lab: Lab):
    """Take the ACL off userbr0. After the test it is back, nothing of a fix is left, and the lab is clean."""
    lab.fault("acl-detached", "sigsrv")
    yield lab
    lab.fault("acl-detached", "sigsrv", heal=True)
    assert [leftovers(lab, host) for host in ("sigsrv", "minisrv")] == ["", ""]
    assert verdicts(lab.scan()[0]) == clean()


def acls(lab: Lab) -> str:
    return lab.on("minisrv", *NETWORK).strip()


def wait_for(what, seconds: float):
    """Wait until a function returns something true, and return it."""
    end = time.monotonic() + seconds
    while not (found := what()):
        assert time.monotonic() < end, what
        time.sleep(0.2)
    return found


@pytest.fixture
def other_remote(lab: Lab, tmp_path: Path):
    """Make another server the default remote of root on both hosts. Returns a function: the requests that it got."""
    for host in ("sigsrv", "minisrv"):
        lab.on(host, "sh", "-c", f"[ ! -e {CLIENT} ] || mv {CLIENT} {CLIENT}.kept; mkdir -p {CLIENT}")
        config = "default-remote: other\nremotes:\n  other: {addr: 'unix:///run/other.sock', protocol: incus}\n"
        lab.on(host, "sh", "-c", f"cat >{CLIENT}/config.yml", given=config)
        lab.on(host, "sh", "-c", "cat >/run/other.py", given=OTHER)
        lab.on(
            host,
            "sh",
            "-c",
            "setsid python3 /run/other.py /run/other.sock /run/other.log >/dev/null 2>&1 & echo $! >/run/other.pid",
        )
        wait_for(
            lambda host=host: "yes" in lab.on(host, "sh", "-c", "if [ -S /run/other.sock ]; then echo yes; fi"), 20
        )
    yield lambda: "".join(
        lab.on(host, "sh", "-c", "cat /run/other.log 2>/dev/null; true") for host in ("sigsrv", "minisrv")
    )
    for host in ("sigsrv", "minisrv"):
        lab.on(host, "sh", "-c", f"kill $(cat /run/other.pid); rm -rf /run/other.* {CLIENT}")
        lab.on(host, "sh", "-c", f"[ ! -e {CLIENT}.kept ] || mv {CLIENT}.kept {CLIENT}")


def test_fix_changes_this_hosts_own_daemon_whatever_the_default_remote_is(detached, other_remote, tmp_path):
    """`incus remote switch` as root made another server the default: it gets no request, and this cluster is fixed."""
    assert detached.on("sigsrv", *NETWORK).strip() == ""
    assert "GET /1.0" in other_remote()  # a plain command asks the other one
    before = other_remote()

    done = detached.command(*remediate(detached, tmp_path / "journal", "--yes", FIX))

    assert (done.returncode, other_remote()) == (0, before), done.stderr
    assert acls(detached) == "user-isolate"


@pytest.mark.lab("ns")
def test_scan_judges_this_hosts_own_daemon_whatever_the_default_remote_is(lab, other_remote):
    """An account that asks `incus query` under sudo reads the other server otherwise: a pass for the wrong cluster."""
    rules = lab.command("sigsrv", "probes", "--site", str(lab.site), "--sudoers", "audit").stdout
    try:
        for host in ("sigsrv", "minisrv"):
            lab.on(host, "sh", "-c", "umask 337; cat >/etc/sudoers.d/audit", given=rules)
        site = lab.site.read_text().replace("ssh_config: ssh_config", "ssh_config: ssh_config.audit")
        (lab.files / "site-audit.yaml").write_text(site)
        done = lab.command("sigsrv", "scan", "--site", str(lab.files / "site-audit.yaml"), "--policy", "PROJ-001")
    finally:
        for host in ("sigsrv", "minisrv"):
            lab.on(host, "rm", "-f", "/etc/sudoers.d/audit")
        (lab.files / "site-audit.yaml").unlink(missing_ok=True)

    assert (done.returncode, other_remote()) == (0, ""), done.stdout + done.stderr


def test_change_that_somebody_else_makes_during_a_step_undoes_it_and_is_told(detached, tmp_path):
    """The step did not declare it, and nobody knows whose it is."""
    add = (
        "until incus network get local:userbr0 security.acls | grep -q .; do sleep 0.1; done;"
        " ip rule add from 10.55.0.2 table 100; ip link add vx24 type vxlan id 24 dstport 4790 local 10.213.7.2 remote 10.213.7.1"
    )
    try:
        somebody = start(*detached.program, "exec", "minisrv", "sh", "-c", add)
        done = detached.command(*remediate(detached, tmp_path / "journal", "--yes", FIX))
        somebody.communicate(timeout=30)
    finally:
        detached.on("minisrv", "sh", "-c", "ip rule del from 10.55.0.2 table 100; ip link del vx24; true")

    assert done.returncode == 4, done.stdout + done.stderr
    assert "link vx24 is new on minisrv" in done.stderr
    assert re.search(r"rule ipv4 .*10\.55\.0\.2.* is new on minisrv", done.stderr)
    assert acls(detached) == ""


def test_other_member_undoes_the_fix_if_its_host_does_not(detached, tmp_path):
    """The operator's machine dies after the change, and so does the rollback timer of the host that ran the script."""
    wait = 30 * detached.slowness
    words = remediate(detached, tmp_path / "journal", "--yes", FIX)
    words[words.index("--confirm-timeout") + 1] = str(wait)
    running = start(*words)
    wait_for(lambda: acls(detached), 90 * detached.slowness)
    running.send_signal(signal.SIGKILL)
    running.communicate()
    ran_on = "sigsrv" if "/runner" in armed(detached, "sigsrv") else "minisrv"
    second = {"sigsrv": "minisrv", "minisrv": "sigsrv"}[ran_on]
    assert armed(detached, second)  # with the old values, before anything changed
    detached.on(ran_on, "sh", "-c", stop_timers())

    wait_for(lambda: acls(detached) == "", 3 * wait)
    wait_for(lambda: not armed(detached, second), wait)

    assert armed(detached, ran_on)  # it did nothing; the next run finds its folder and nothing left to undo there
    done = detached.command(*remediate(detached, tmp_path / "journal", "--yes", FIX))
    assert done.returncode == 0, done.stdout + done.stderr
    assert acls(detached) == "user-isolate"


def armed(lab: Lab, host: str) -> str:
    return lab.on(host, "sh", "-c", "find /run/sigsrv /var/lib/sigsrv-remediate/armed -type f 2>/dev/null; true")


def stop_timers() -> str:
    return (
        "for file in /run/sigsrv/*/timer; do [ ! -s $file ] || kill -- -$(cat $file); done;"
        " for unit in /etc/systemd/system/sigsrv-undo-*.timer; do [ ! -e $unit ] || systemctl stop ${unit##*/}; done"
    )
