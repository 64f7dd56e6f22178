"""What the script for the server's configuration does, against a daemon that is files: what it sets, restarts, waits for and puts back."""

from __future__ import annotations

import pytest

from sigsrv.model import data
from sigsrv.model.fix import render
from tests.fake_host import FakeHost, made

# incus: each key is a file. As the real one, it closes the cluster's own listener where a new address covers that.
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
SETTING = {"key": "core.https_address", "value": "10.0.2.15:8443", "member": "minisrv", "settle": ""}
VALUES = {"settings": [SETTING], "refused": ""}


@pytest.fixture
def host(tmp_path):
    found = made(FakeHost, tmp_path, {"incus": INCUS, "ss": SS, "systemctl": SYSTEMCTL})
    (tmp_path / "core.https_address").write_text(":8443\n")
    (tmp_path / "cluster.https_address").write_text("10.0.0.2:8443\n")
    return found


def test_where_the_old_address_was_the_cluster_s_too_the_daemon_is_restarted(host):
    """Else the other members can't reach this one any more, and say so half a minute later."""
    code, result = host.run("set-server-config", "apply", VALUES)

    assert (code, host.done) == (0, ["set core.https_address=10.0.2.15:8443", "restarted"])
    assert "the daemon was restarted: it listens on 10.0.0.2:8443 too" in result
    code, result = host.run("set-server-config", "apply", VALUES)
    assert (code, host.done) == (0, [])
    assert "core.https_address is 10.0.2.15:8443 already" in result
    assert host.run("set-server-config", "undo", VALUES)[0] == 0
    assert host.done == ["set core.https_address=:8443"]


def test_undo_opens_the_cluster_s_listener_where_the_new_address_had_closed_it(host):
    """It was closed because the new address is the cluster's; the old one is not, and opens nothing."""
    (host.folder / "core.https_address").write_text("192.0.2.5:8443\n")
    (host.folder / "listens").touch()
    values = {**VALUES, "settings": [{**SETTING, "value": "10.0.0.2:8443"}]}
    commands = [
        "set core.https_address=10.0.0.2:8443",
        "restarted",
    ]  # the fake's listener of the network is none of ss's
    assert host.run("set-server-config", "apply", values)[0] == 0
    assert host.done == commands
    (host.folder / "listens").unlink()

    assert host.run("set-server-config", "undo", values)[0] == 0

    assert host.done == ["set core.https_address=192.0.2.5:8443", "restarted"]
    assert (host.folder / "listens").exists()


def test_a_run_that_was_broken_off_before_the_restart_is_brought_to_its_end(host):
    """The address is right already; what the other members need is not there yet."""
    (host.folder / "core.https_address").write_text("10.0.2.15:8443\n")

    assert host.run("set-server-config", "apply", VALUES)[0] == 0
    assert host.done == ["restarted"]


def test_where_the_cluster_has_its_own_listener_nothing_is_restarted(host):
    """And on a server that is in no cluster there is none."""
    (host.folder / "listens").touch()
    assert host.run("set-server-config", "apply", VALUES)[0] == 0
    assert host.done == ["set core.https_address=10.0.2.15:8443"]

    (host.folder / "listens").unlink()
    (host.folder / "cluster.https_address").unlink()
    (host.folder / "core.https_address").write_text(":8443\n")
    assert host.run("set-server-config", "apply", VALUES)[0] == 0
    assert host.done == ["set core.https_address=10.0.2.15:8443"]


def test_a_daemon_that_no_unit_runs_is_a_person_s_to_restart(host):
    """The script fails, so that the change is undone; it does not leave a member that nobody reaches."""
    (host.folder / "no-unit").touch()

    code, result = host.run("set-server-config", "apply", VALUES)

    assert code == 1
    assert "only after a restart of the daemon" in result


def test_the_permanent_fix_has_a_resource_for_each_key():
    """Their names are words of HCL: what the engine quotes is quoted once."""
    other = {"key": "core.debug_address", "value": "", "member": "minisrv", "settle": ""}
    template = data.folder("remediations") / "set-server-config" / "permanent.tf.j2"

    text = render(template, {"settings": [SETTING, other], "refused": ""})

    assert 'resource "incus_server" "setting_1" {\n  target = "minisrv"\n' in text
    assert 'remove the key "core.debug_address"' in text
