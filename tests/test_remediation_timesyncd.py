"""The script that has systemd keep the time, against programs that answer what they are told: the lab has no systemd."""

from __future__ import annotations

import pytest

from tests.test_remediation_scripts import Host

# What is asked is the name of the file that holds the answer; what changes something is kept in "done".
SYSTEMCTL = """\
case "$*" in
  "show -p LoadState "*) cat "$HERE/load" ;;
  "is-active --quiet "*) grep -qx "$3" "$HERE/active" ;;
  "is-enabled "*) cat "$HERE/enabled" ;;
  *) echo "systemctl $*" >>"$HERE/done" ;;
esac
"""
TIMEDATECTL = """\
if grep -q restart "$HERE/done" 2>/dev/null; then cat "$HERE/after"; else cat "$HERE/before"; fi
"""


@pytest.fixture
def host(tmp_path):
    """A host whose clock nothing keeps, with systemd-timesyncd installed and not enabled."""
    for name, body in {"systemctl": SYSTEMCTL, "timedatectl": TIMEDATECTL, "sleep": ""}.items():
        path = tmp_path / "bin" / name
        path.parent.mkdir(exist_ok=True)
        path.write_text(f"#!/bin/sh\n{body}")
        path.chmod(0o755)
    (tmp_path / "state").mkdir()
    found = Host(tmp_path)
    found.answers("load", "LoadState=loaded\n")
    found.answers("active", "")
    found.answers("enabled", "disabled\n")
    found.answers("before", "NTPSynchronized=no\n")
    found.answers("after", "NTPSynchronized=yes\n")
    return found


def run(host: Host, script: str = "apply") -> tuple[int, str]:
    return host.run("restart-timesyncd", script, {"host": "minisrv"})


def test_it_is_enabled_restarted_and_disabled_again(host):
    """What was not enabled before is not afterwards."""
    assert run(host) == (0, "minisrv: systemd-timesyncd.service restarted; the clock is synchronised\n")
    assert host.done == ["systemctl enable systemd-timesyncd.service", "systemctl restart systemd-timesyncd.service"]

    for _ in range(2):
        assert run(host, "undo")[0] == 0
        assert host.done == ["systemctl disable systemd-timesyncd.service", "systemctl stop systemd-timesyncd.service"]


@pytest.mark.parametrize(
    ("enabled", "active", "undone"),
    [
        ("enabled", True, []),
        ("enabled", False, ["systemctl stop systemd-timesyncd.service"]),
        ("disabled", True, ["systemctl disable systemd-timesyncd.service"]),
    ],
)
def test_what_was_enabled_stays_enabled_and_what_ran_runs_on(host, enabled, active, undone):
    """Undo puts back what was not so before, and nothing else."""
    host.answers("enabled", f"{enabled}\n")
    host.answers("active", "systemd-timesyncd.service\n" if active else "")

    assert run(host)[0] == 0
    assert host.done[-1:] == ["systemctl restart systemd-timesyncd.service"]
    assert run(host, "undo")[0] == 0
    assert host.done == undone


def test_a_clock_that_no_server_sets_is_a_failure(host):
    """That the unit was restarted proves nothing."""
    host.answers("after", "NTPSynchronized=no\n")

    rc, result = run(host)

    assert rc == 1
    assert "no time server answered minisrv" in result


@pytest.mark.parametrize(
    ("question", "answer", "why"),
    [
        ("active", "chrony.service\n", "chrony keeps the time"),
        ("load", "LoadState=masked\n", "no service on minisrv can keep the time"),
        ("load", "LoadState=not-found\n", "no service on minisrv can keep the time"),
        ("before", "NTPSynchronized=yes\n", "the clock of minisrv is synchronised"),
    ],
)
def test_it_refuses_where_it_is_not_what_helps(host, question, answer, why):
    """Another program, a mask and a clock that is right already are for a person."""
    host.answers(question, answer)

    rc, result = run(host)

    assert (rc, host.done) == (1, [])
    assert result.startswith("refused: ")
    assert why in result


def test_it_refuses_on_a_host_that_systemd_does_not_run(host):
    """systemctl itself says so."""
    (host.folder / "load").unlink()

    assert "was not booted with systemd" in run(host)[1]
    assert host.done == []
