"""Tests the script for the server's configuration, with a daemon that is files: what it sets, restarts, waits for and
restores.
"""

from __future__ import annotations

import pytest

from tests.fake_host import FakeHost, make_host

# incus: each key is a file. Like the real one, it closes the cluster's own listener if a new address covers it.
INCUS = """\
case "$1 $2" in
  "config get") [ "$3" = --target ] && shift 2; [ ! -e "$HERE/$5" ] || cat "$HERE/$5"; [ -e "$HERE/$5" ] || echo ;;
  "config set")
    [ "$3" = --target ] && shift 2
    echo "set $5" >>"$HERE/done"; echo "${5#*=}" >"$HERE/${5%%=*}"
    case $5 in core.https_address=:8443 | core.https_address=10.0.0.2:8443) rm -f "$HERE/listens" ;; esac ;;
  "cluster show") cat "$HERE/member-$4" 2>/dev/null || { echo "Error: Cluster member not found" >&2; exit 1; } ;;
  "cluster list") case $* in *" nu") cat "$HERE/members" ;; *) echo minisrv,ONLINE ;; esac ;;
  "cluster unset") echo unset >>"$HERE/done" ;;
  "cluster set") echo "cluster set $5" >>"$HERE/done" ;;
  *) exit 9 ;;
esac
"""
SS = """\
case "$*" in
  "-Hltn src 10.0.0.2:8443") [ ! -e "$HERE/listens" ] || echo LISTEN ;;
  "-Htn state established sport = :8443 and dst 192.0.2.9") cat "$HERE/connections" ;;
  *) exit 9 ;;
esac
"""
SYSTEMCTL = """\
case "$*" in
  "--quiet is-active incus.service") [ ! -e "$HERE/no-unit" ] ;;
  "restart incus.service") echo "restarted" >>"$HERE/done"; : >"$HERE/listens" ;;
esac
"""
SETTING = {"key": "core.https_address", "value": "10.0.2.15:8443", "member": "minisrv", "wait_s": "", "sockets": []}
VALUES = {"settings": [SETTING], "refused": ""}


@pytest.fixture
def host(tmp_path):
    found = make_host(FakeHost, tmp_path, {"incus": INCUS, "ss": SS, "systemctl": SYSTEMCTL})
    (tmp_path / "core.https_address").write_text(":8443\n")
    (tmp_path / "cluster.https_address").write_text("10.0.0.2:8443\n")
    (tmp_path / "member-local:minisrv").write_text("config: {}\nurl: https://10.0.0.2:8443\n")
    (tmp_path / "members").write_text("sigsrv,https://10.0.0.1:8443\nminisrv,https://10.0.0.2:8443\n")
    return found


def test_daemon_is_restarted_if_the_old_address_served_the_cluster_too(host):
    """Otherwise the other members can't reach this one, and report that half a minute later."""
    code, output = host.run("set-server-config", "apply", VALUES)

    assert (code, host.changes) == (0, ["set core.https_address=10.0.2.15:8443", "restarted"])
    assert "the daemon was restarted: it listens on 10.0.0.2:8443 too" in output
    code, output = host.run("set-server-config", "apply", VALUES)
    assert (code, host.changes) == (0, [])
    assert "core.https_address is 10.0.2.15:8443 already" in output
    assert host.run("set-server-config", "undo", VALUES)[0] == 0
    assert host.changes == ["set core.https_address=:8443"]


def test_undo_opens_the_cluster_listener_that_the_new_address_closed(host):
    """The new address covers the cluster's and closes its listener. The old address does not cover it and opens none."""
    (host.folder / "core.https_address").write_text("192.0.2.5:8443\n")
    (host.folder / "listens").touch()
    values = {**VALUES, "settings": [{**SETTING, "value": "10.0.0.2:8443"}]}
    expected_changes = [
        "set core.https_address=10.0.0.2:8443",
        "restarted",
    ]  # the fake ss does not show the listener of the new address
    assert host.run("set-server-config", "apply", values)[0] == 0
    assert host.changes == expected_changes
    (host.folder / "listens").unlink()

    assert host.run("set-server-config", "undo", values)[0] == 0

    assert host.changes == ["set core.https_address=192.0.2.5:8443", "restarted"]
    assert (host.folder / "listens").exists()


def test_interrupted_run_restarts_the_daemon_in_the_next_run(host):
    """The address is correct already, but the listener for the other members is missing."""
    (host.folder / "core.https_address").write_text("10.0.2.15:8443\n")

    assert host.run("set-server-config", "apply", VALUES)[0] == 0
    assert host.changes == ["restarted"]


def test_daemon_is_not_restarted_if_the_cluster_has_its_own_listener(host):
    """A standalone server has no such listener."""
    (host.folder / "listens").touch()
    assert host.run("set-server-config", "apply", VALUES)[0] == 0
    assert host.changes == ["set core.https_address=10.0.2.15:8443"]

    (host.folder / "listens").unlink()
    (host.folder / "cluster.https_address").unlink()
    (host.folder / "core.https_address").write_text(":8443\n")
    assert host.run("set-server-config", "apply", VALUES)[0] == 0
    assert host.changes == ["set core.https_address=10.0.2.15:8443"]


def test_daemon_without_a_unit_needs_a_manual_restart(host):
    """The script fails, so the change is rolled back and the member stays reachable."""
    (host.folder / "no-unit").touch()

    code, output = host.run("set-server-config", "apply", VALUES)

    assert code == 1
    assert "only after a restart of the daemon" in output


def test_undo_leaves_what_somebody_set_since(host):
    """With --force it writes the old value."""
    assert host.run("set-server-config", "apply", VALUES)[0] == 0
    (host.folder / "core.https_address").write_text("10.0.3.1:8443\n")
    (host.folder / "listens").touch()
    _ = host.changes

    assert host.run("set-server-config", "undo", VALUES) == (
        0,
        "kept: core.https_address is 10.0.3.1:8443, not 10.0.2.15:8443 as the fix left it\n",
    )
    assert host.changes == []
    assert host.run("set-server-config", "undo", VALUES, SIGSRV_FORCE="yes")[0] == 0
    assert host.changes == ["set core.https_address=:8443"]


def test_undo_on_a_member_that_is_gone_ends_well(host):
    """Otherwise it would fail for ever, and block the site."""
    assert host.run("set-server-config", "apply", VALUES)[0] == 0
    (host.folder / "member-local:minisrv").unlink()
    (host.folder / "members").write_text("sigsrv,https://10.0.0.1:8443\n")
    _ = host.changes

    code, output = host.run("set-server-config", "undo", VALUES)

    assert (code, output, host.changes) == (0, "nothing left to undo: the member that was minisrv is gone\n", [])


@pytest.mark.parametrize("namesake", ["", "config: {}\nurl: https://10.0.0.3:8443\n"])
def test_undo_finds_a_renamed_member_by_its_address(host, namesake):
    """Another member may have its name now. That one stays as it is."""
    assert host.run("set-server-config", "apply", VALUES)[0] == 0
    renamed = host.folder / "member-local:minisrv"
    renamed.rename(host.folder / "member-local:small")
    if namesake:
        renamed.write_text(namesake)
    (host.folder / "members").write_text("small,https://10.0.0.2:8443\n")
    (host.folder / "listens").touch()
    _ = host.changes

    code, output = host.run("set-server-config", "undo", VALUES)

    assert (code, host.changes) == (0, ["set core.https_address=:8443"])
    assert "minisrv is small now\n" in output
    assert ("minisrv: it is another member of the same name now" in output) is bool(namesake)


@pytest.mark.parametrize(
    ("connection", "refused"),
    [
        ("0 0 10.0.0.9:8443 192.0.2.9:50000", True),
        ("0 0 10.0.2.15:8443 192.0.2.9:50000", False),
        ("0 0 10.0.0.2:8443 192.0.2.9:50000", False),
        ("", False),
    ],
    ids=["old address", "new address", "other member", "none"],
)
def test_address_that_the_operators_machine_uses_is_not_closed(host, connection, refused):
    """Another member may use the address of the cluster, which stays."""
    (host.folder / "connections").write_text(f"{connection}\n" if connection else "")
    (host.folder / "listens").touch()

    code, output = host.run("set-server-config", "apply", VALUES, SSH_CONNECTION="192.0.2.9 40000 10.0.0.9 22")

    assert (code, "192.0.2.9, from where you came, uses the API at 10.0.0.9:8443" in output) == (int(refused), refused)
    assert (host.changes == []) is refused


MEMBER = {"member": "minisrv", "status": ""}


def scheduler(host: FakeHost, value: str, name: str = "minisrv") -> None:
    config = f"config:\n  scheduler.instance: {value}\n" if value else "config: {}\n"
    (host.folder / f"member-local:{name}").write_text(f"{config}url: https://10.0.0.2:8443\n")


def test_scheduling_is_put_back_unless_somebody_set_it(host):
    """A member whose key is unset needs nothing."""
    scheduler(host, "manual")
    assert host.run("restore-member", "apply", MEMBER)[0] == 0
    assert host.changes == ["unset"]
    for now, changes, kept in (
        ("", ["cluster set scheduler.instance=manual"], ""),
        ("manual", [], ""),
        ("group", [], "kept: "),
    ):
        scheduler(host, now)
        code, output = host.run("restore-member", "undo", MEMBER)
        assert (code, host.changes, output.startswith("kept: ")) == (0, changes, bool(kept))
    assert host.run("restore-member", "undo", MEMBER, SIGSRV_FORCE="yes")[0] == 0
    assert host.changes == ["cluster set scheduler.instance=manual"]
    scheduler(host, "")
    assert host.run("restore-member", "apply", MEMBER)[1] == "minisrv: scheduler.instance is unset already\n"
