"""Tests the script that enables systemd-timesyncd, with fake programs: the lab of namespaces has no systemd."""

from __future__ import annotations

import pytest

from tests.test_remediation_scripts import Host

# The question is the name of the file with the answer. Commands that change something are recorded in "done".
SYSTEMCTL = """\
case "$*" in
  "show -p LoadState "*) cat "$HERE/load" ;;
  "is-active --quiet "*) grep -qx "$3" "$HERE/active" ;;
  "is-enabled "*) cat "$HERE/enabled" ;;
  enable* | disable*) echo "${1}d" >"$HERE/enabled"; echo "systemctl $*" >>"$HERE/done" ;;
  *) echo "systemctl $*" >>"$HERE/done" ;;
esac
"""
TIMEDATECTL = """\
if grep -q restart "$HERE/done" 2>/dev/null; then cat "$HERE/after"; else cat "$HERE/before"; fi
"""


def process(host: Host, number: int | str, name: str, namespace: str = "pid:[1]", command: str = "") -> None:
    """Let a process run on the host. namespace: of its PIDs; that of a container is another one. command: with NUL between words."""
    folder = host.folder / "proc" / str(number)
    (folder / "ns").mkdir(parents=True)
    (folder / "ns" / "pid").symlink_to(namespace)
    (folder / "comm").write_text(f"{name}\n")
    (folder / "cmdline").write_text(command)


@pytest.fixture
def host(tmp_path):
    """Provide a host with an unsynchronised clock, and with systemd-timesyncd installed but not enabled."""
    for name, body in {"systemctl": SYSTEMCTL, "timedatectl": TIMEDATECTL, "sleep": ""}.items():
        path = tmp_path / "bin" / name
        path.parent.mkdir(exist_ok=True)
        path.write_text(f"#!/bin/sh\n{body}")
        path.chmod(0o755)
    (tmp_path / "state").mkdir()
    found = Host(tmp_path)
    process(found, "self", "sh")
    found.answers("load", "LoadState=loaded\n")
    found.answers("active", "")
    found.answers("enabled", "disabled\n")
    found.answers("before", "NTPSynchronized=no\n")
    found.answers("after", "NTPSynchronized=yes\n")
    return found


def run(host: Host, script: str = "apply") -> tuple[int, str]:
    return host.run("restart-timesyncd", script, {"host": "minisrv"})


def test_timesyncd_is_enabled_and_disabled_again_by_undo(host):
    """A unit that was not enabled before is not enabled afterwards."""
    assert run(host) == (0, "minisrv: systemd-timesyncd.service restarted; the clock is synchronised\n")
    assert host.changes == ["systemctl enable systemd-timesyncd.service", "systemctl restart systemd-timesyncd.service"]

    stopped = "systemctl stop systemd-timesyncd.service"
    for undone in (["systemctl disable systemd-timesyncd.service", stopped], [stopped]):
        assert run(host, "undo")[0] == 0
        assert host.changes == undone


@pytest.mark.parametrize(
    ("enabled", "active", "undone"),
    [
        ("enabled", True, []),
        ("enabled", False, ["systemctl stop systemd-timesyncd.service"]),
        ("disabled", True, ["systemctl disable systemd-timesyncd.service"]),
    ],
)
def test_undo_keeps_what_was_enabled_or_running_before(host, enabled, active, undone):
    """Undo reverts only what apply changed."""
    host.answers("enabled", f"{enabled}\n")
    host.answers("active", "systemd-timesyncd.service\n" if active else "")

    assert run(host)[0] == 0
    assert host.changes[-1:] == ["systemctl restart systemd-timesyncd.service"]
    assert run(host, "undo")[0] == 0
    assert host.changes == undone


def test_unsynchronised_clock_is_a_failure(host):
    """The restart of the unit alone proves nothing."""
    host.answers("after", "NTPSynchronized=no\n")

    rc, output = run(host)

    assert rc == 1
    assert "no time server answered minisrv" in output


@pytest.mark.parametrize(
    ("question", "answer", "why"),
    [
        ("active", "chrony.service\n", "chrony keeps the time"),
        ("load", "LoadState=masked\n", "no service on minisrv can keep the time"),
        ("load", "LoadState=not-found\n", "no service on minisrv can keep the time"),
        ("before", "NTPSynchronized=yes\n", "the clock of minisrv is synchronised"),
    ],
)
def test_host_that_needs_another_fix_is_refused(host, question, answer, why):
    """A person decides about another time program, a masked unit, or a clock that is synchronised already."""
    host.answers(question, answer)

    rc, output = run(host)

    assert (rc, host.changes) == (1, [])
    assert output.startswith("refused: ")
    assert why in output


@pytest.mark.parametrize("name", ["chronyd", "ntpd", "ntp-daemon", "ptp4l", "phc2sys"])
def test_other_clock_program_is_known_by_its_process(host, name):
    """No unit names it."""
    process(host, 7, name)

    rc, output = run(host)

    assert (rc, host.changes) == (1, [])
    assert output.startswith(f"refused: {name} (process 7) ")


def test_ntpd_of_busybox_is_known_by_its_command(host):
    process(host, 7, "busybox", command="/bin/busybox\0ntpd\0-p\0pool\0")

    assert run(host)[1].startswith("refused: ntpd (process 7) ")


@pytest.mark.parametrize(
    ("name", "namespace", "command"),
    [("ptp4lx", "pid:[1]", ""), ("chronyd", "pid:[2]", ""), ("busybox", "pid:[1]", "busybox\0httpd\0")],
)
def test_program_with_another_name_or_in_a_container_keeps_no_clock_of_this_host(host, name, namespace, command):
    process(host, 7, name, namespace, command)

    assert run(host)[0] == 0


def test_unit_that_is_gone_or_masked_since_is_kept(host):
    """Undo never fails because of it."""
    assert run(host)[0] == 0
    _ = host.changes
    host.answers("enabled", "masked\n")
    rc, output = run(host, "undo")
    assert rc == 0
    assert "kept: minisrv: systemd-timesyncd.service is masked, not enabled as the fix left it" in output
    _ = host.changes

    host.answers("load", "LoadState=not-found\n")
    assert run(host, "undo") == (0, "nothing left to undo: minisrv has no systemd-timesyncd.service any more\n")
    assert host.changes == []


def test_host_without_systemd_is_refused(host):
    """systemctl itself reports it."""
    (host.folder / "load").unlink()

    assert "was not booted with systemd" in run(host)[1]
    assert host.changes == []
