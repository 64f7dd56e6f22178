"""Tests the script for the server's configuration, with a daemon that is files: what it sets, restarts, waits for and
restores.
"""

from __future__ import annotations

import pytest

from tests.fake_host import FakeHost, make_host

# incus: each key is a file. Like the real one, it closes the cluster's own listener if a new address covers it.
INCUS = """\
case "$1 $2" in
  "config get") [ "$3" = --target ] && shift 2; [ ! -e "$HERE/$4" ] || cat "$HERE/$4" ;;
  "config set")
    [ "$3" = --target ] && shift 2
    echo "set $4" >>"$HERE/done"; echo "${4#*=}" >"$HERE/${4%%=*}"
    case $4 in core.https_address=:8443 | core.https_address=10.0.0.2:8443) rm -f "$HERE/listens" ;; esac ;;
  "cluster list") echo minisrv,ONLINE ;;
  *) exit 9 ;;
esac
"""
SS = 'case "$*" in "-Hltn src 10.0.0.2:8443") [ ! -e "$HERE/listens" ] || echo LISTEN ;; *) exit 9 ;; esac\n'
SYSTEMCTL = """\
case "$*" in
  "--quiet is-active incus.service") [ ! -e "$HERE/no-unit" ] ;;
  "restart incus.service") echo "restarted" >>"$HERE/done"; : >"$HERE/listens" ;;
esac
"""
SETTING = {"key": "core.https_address", "value": "10.0.2.15:8443", "member": "minisrv", "wait_s": ""}
VALUES = {"settings": [SETTING], "refused": ""}


@pytest.fixture
def host(tmp_path):
    found = make_host(FakeHost, tmp_path, {"incus": INCUS, "ss": SS, "systemctl": SYSTEMCTL})
    (tmp_path / "core.https_address").write_text(":8443\n")
    (tmp_path / "cluster.https_address").write_text("10.0.0.2:8443\n")
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
