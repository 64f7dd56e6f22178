"""Tests the scripts that start Incus and that change a group, with fake programs that answer as systemd and shadow do."""

from __future__ import annotations

import os
import subprocess
from pathlib import Path

import pytest

from sigsrv.model import data
from sigsrv.model.fix import render
from tests.fake_host import take_lines, write_programs

UNITS = ("incus.service", "incus.socket", "incus-startup.service")
# The state of each unit is a file of its name; a unit without a file does not exist.
SYSTEMCTL = """\
case "$*" in
  "show -p LoadState "*) if [ -e "$HERE/$4" ]; then echo LoadState=loaded; else echo LoadState=not-found; fi ;;
  "is-enabled "*) if [ -e "$HERE/$2" ]; then cat "$HERE/$2"; else echo not-found; exit 4; fi ;;
  "enable "* | "disable "*)
    echo "systemctl $*" >>"$HERE/done"
    [ -e "$HERE/$2" ] || { echo "Failed: Unit file $2 does not exist." >&2; exit 1; }
    echo "${1}d" >"$HERE/$2" ;;
  *) echo "systemctl $*" >>"$HERE/done"; case $1 in restart | start) [ -e "$HERE/${2#--quiet}" ] ;; esac ;;
esac
"""
INCUS = '[ "$*" = "query local:/1.0" ] && [ -e "$HERE/answers" ]\n'
START = ["systemctl reset-failed incus.service", "systemctl start incus.socket", "systemctl restart incus.service"]


@pytest.fixture
def host(tmp_path: Path) -> Path:
    """Provide a host on which Incus is installed, not enabled, and does not run."""
    write_programs(tmp_path / "bin", {"systemctl": SYSTEMCTL, "incus": INCUS})
    for name in ("state", "systemd"):
        (tmp_path / name).mkdir()
    for unit, state in zip(UNITS, ("static", "disabled", "disabled"), strict=True):
        (tmp_path / unit).write_text(f"{state}\n")
    return tmp_path


def run(host: Path, script: str, force: str = "") -> tuple[int, str, list[str]]:
    """Run a script of start-incus. Returns its exit status, its whole output and the changes that it made."""
    text = render(data.folder("remediations") / "start-incus" / f"{script}.sh.j2", {"host": "minisrv"})
    text = text.replace("/run/systemd/system", str(host / "systemd")).replace("/etc/NIXOS", str(host / "NIXOS"))
    return called(host, text, force)


def called(host: Path, text: str, force: str = "") -> tuple[int, str, list[str]]:
    env = {"PATH": f"{host}/bin:{os.environ['PATH']}", "HERE": str(host), "SIGSRV_STATE": str(host / "state")}
    env["SIGSRV_FORCE"] = force
    done = subprocess.run(["sh"], input=text, env=env, capture_output=True, text=True, check=False, timeout=20)
    return done.returncode, done.stdout + done.stderr, take_lines(host / "done")


def test_daemon_that_answers_is_enabled_and_not_restarted(host):
    """A restart would wait for running operations, and end what hangs on the API. Undo disables what was enabled, once."""
    (host / "answers").touch()

    rc, output, changes = run(host, "apply")

    assert (rc, changes) == (0, ["systemctl enable incus.socket", "systemctl enable incus-startup.service"])
    assert "the daemon runs and is not restarted" in output
    assert run(host, "undo")[::2] == (0, ["systemctl disable incus.socket", "systemctl disable incus-startup.service"])
    assert run(host, "undo")[::2] == (0, [])


def test_daemon_that_does_not_answer_is_started(host):
    """The socket first, and the guests last."""
    rc, _, changes = run(host, "apply")

    assert rc == 0
    assert changes[2:] == [*START, "systemctl start incus-startup.service"]


@pytest.mark.parametrize("missing", ["incus.socket", "incus-startup.service"])
def test_unit_that_the_host_lacks_is_left_out(host, missing):
    """NixOS has no socket or no startup unit, depending on its configuration. Neither script fails."""
    (host / missing).unlink()
    (host / "incus.service").write_text("disabled\n")

    rc, output, changes = run(host, "apply")

    assert rc == 0, output
    assert f"there is no {missing}, which is left out" in output
    assert not [call for call in changes if missing in call]
    enabled = [call.split()[-1] for call in changes if " enable " in call]
    assert enabled == (["incus.service", "incus-startup.service"] if missing == "incus.socket" else ["incus.socket"])
    rc, output, changes = run(host, "undo")
    assert rc == 0, output
    assert changes == [f"systemctl disable {unit}" for unit in enabled]


@pytest.mark.parametrize("unit", UNITS)
def test_masked_unit_is_refused(host, unit):
    """Somebody decided that."""
    (host / unit).write_text("masked\n")

    rc, output, changes = run(host, "apply")

    assert (rc, changes) == (1, [])
    assert f"refused: {unit} is masked" in output


def test_host_without_incus_or_with_its_units_in_a_configuration_is_refused(host):
    """NixOS writes its units at each activation."""
    (host / "NIXOS").touch()
    rc, output, changes = run(host, "apply")
    assert (rc, changes) == (1, [])
    assert "refused: the NixOS configuration decides what starts at boot, and not incus.socket incus-startup" in output

    (host / "incus.service").unlink()
    rc, output, changes = run(host, "apply")
    assert (rc, changes) == (1, [])
    assert "refused: minisrv has no incus.service" in output


@pytest.mark.parametrize(
    ("since", "result"),
    [
        ("masked", "kept: minisrv: incus.socket is masked, not enabled as the fix left it"),
        ("disabled", "minisrv: incus.socket is disabled already"),
        (None, "nothing left to undo: minisrv has no incus.socket any more"),
    ],
)
def test_undo_never_fails_because_of_what_somebody_changed(host, since, result):
    """The other unit is disabled again."""
    assert run(host, "apply")[0] == 0
    if since:
        (host / "incus.socket").write_text(f"{since}\n")
    else:
        (host / "incus.socket").unlink()

    rc, output, changes = run(host, "undo")

    assert (rc, changes) == (0, ["systemctl disable incus-startup.service"])
    assert result in output


GETENT = """\
case "$1" in
  group) [ -e "$HERE/members" ] || exit 2; echo "incus-admin:x:999:$(paste -sd , "$HERE/members")" ;;
  passwd) grep "^$3:" "$HERE/passwd" || exit 2 ;;
esac
"""
GPASSWD = """\
echo "gpasswd $1 $2" >>"$HERE/done"
case $1 in -d) sed -i "/^$2\\$/d" "$HERE/members" ;; -a) grep -qx "$2" "$HERE/members" || echo "$2" >>"$HERE/members" ;; esac
"""
PASSWD = "alice:x:1001:1001::/home/alice:/bin/sh\nbob:x:1002:1002::/home/bob:/bin/sh\n"


@pytest.mark.parametrize(
    ("since", "result", "added"),
    [
        (PASSWD, "alice: in incus-admin again", ["alice", "bob"]),
        (PASSWD.replace("1001", "1009"), "kept: alice is another account now (1009, not uid 1001)", ["bob"]),
        (PASSWD[PASSWD.index("bob") :], "nothing left to undo: there is no account alice any more", ["bob"]),
    ],
)
def test_only_the_very_same_accounts_are_added_to_a_group_again(tmp_path, since, result, added):
    """A new account of the old name would become root on the host. Members that others added stay."""
    write_programs(tmp_path / "bin", {"getent": GETENT, "gpasswd": GPASSWD})
    (tmp_path / "state").mkdir()
    (tmp_path / "members").write_text("alice\nbob\ncarol\n")
    (tmp_path / "passwd").write_text(PASSWD)
    folder = data.folder("remediations") / "remove-group-member"
    values = {"group": "incus-admin", "users": ["alice", "bob"], "refused": ""}
    rc, output, changes = called(tmp_path, render(folder / "apply.sh.j2", values))
    assert (rc, changes) == (0, ["gpasswd -d alice", "gpasswd -d bob"]), output
    (tmp_path / "members").write_text("dave\n")
    (tmp_path / "passwd").write_text(since)

    rc, output, changes = called(tmp_path, render(folder / "undo.sh.j2", values))

    assert (rc, changes) == (0, [f"gpasswd -a {name}" for name in added])
    assert result in output
    assert (tmp_path / "members").read_text().split() == ["dave", *added]

    (tmp_path / "members").unlink()
    assert called(tmp_path, render(folder / "undo.sh.j2", values))[::2] == (0, [])


@pytest.mark.parametrize(
    ("active", "interfaces", "notes"),
    [
        ("", "iface v00 inet manual\n", []),
        (
            "NetworkManager.service",
            "",
            ["NetworkManager sets up links of this host. If it manages v0, make the change"],
        ),
        ("systemd-networkd.service", "auto v0\n", ["systemd-networkd sets up links", "ifupdown sets v0 up"]),
    ],
)
def test_program_that_sets_a_link_back_is_named(tmp_path, active, interfaces, notes):
    """A link that was set up by hand does not last where such a program rules."""
    write_programs(tmp_path / "bin", {"systemctl": f'[ "$3" = "{active}" ]\n'})
    (tmp_path / "systemd").mkdir()
    (tmp_path / "interfaces").write_text(interfaces)
    text = (data.folder("remediations") / "shared" / "managers.sh").read_text()
    for place, name in (("/run/systemd/system", "systemd"), ("/etc/network/interfaces.d", "none")):
        text = text.replace(place, str(tmp_path / name))
    text = text.replace("/etc/network/interfaces ", f"{tmp_path}/interfaces ")

    rc, output, _ = called(tmp_path, f"set -eu\n{text}\nnote_managers v0\n")

    assert rc == 0
    lines = output.splitlines()
    assert len(lines) == len(notes)
    assert all(line.startswith(f"note: {note}") for line, note in zip(lines, notes, strict=True))
