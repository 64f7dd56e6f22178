"""Tests the scripts for instance keys and devices, with an Incus that is a folder of files."""

from __future__ import annotations

import pytest

from tests.test_remediation_scripts import Host

# keys/KEY and devices/NAME are local to the instance. "status" is its state. Commands that change something are recorded in "done".
INCUS = r"""
echo "$*" >>"$HERE/asked"
if [ -e "$HERE/gone" ]; then echo "Error: Instance not found" >&2; exit 1; fi
case "$1 $2 $3" in
  "config device list") ls "$HERE/devices" ;;
  "config device get") cat "$HERE/devices/$8" ;;
  "config device add") echo "$*" >>"$HERE/done"; echo "$9" >"$HERE/devices/$8" ;;
  "config device remove") echo "$*" >>"$HERE/done"; rm "$HERE/devices/$8" ;;
  "config get --project") [ ! -e "$HERE/keys/$7" ] || cat "$HERE/keys/$7"; echo ;;
  "config set --project") echo "$*" >>"$HERE/done"; printf %s "${7#*=}" >"$HERE/keys/${7%%=*}" ;;
  "config unset --project") echo "$*" >>"$HERE/done"; rm "$HERE/keys/$7" ;;
  "list --project "*) [ ! -e "$HERE/deaf" ] || exit 1; echo "webby,STOPPED"
    case "$*" in *" ns") echo "web,$(cat "$HERE/status")" ;; *" np") echo "web,$(cat "$HERE/pid")" ;;
      *" nt") echo "web,$(cat "$HERE/kind")" ;; *) exit 9 ;; esac ;;
  "restart "*) [ ! -e "$HERE/hangs" ] || exit 1; echo "$*" >>"$HERE/done"; echo "1$(cat "$HERE/pid")" >"$HERE/pid" ;;
  "start "*) [ ! -e "$HERE/broken" ] || exit 1; echo "$*" >>"$HERE/done"; echo RUNNING >"$HERE/status" ;;
  "stop "*) [ "$(cat "$HERE/status")" != STOPPED ] || exit 1; echo "$*" >>"$HERE/done"; echo STOPPED >"$HERE/status" ;;
  *) echo "$*" >>"$HERE/done" ;;
esac
"""
KEYS = {"instance": "web", "project": "p", "set": [], "unset": [], "restart": False, "start": False, "refuse": ""}
RESTART = "restart --project p --timeout 100 -- web"


@pytest.fixture
def host(tmp_path):
    for name in ("bin", "state", "keys", "devices"):
        (tmp_path / name).mkdir()
    path = tmp_path / "bin" / "incus"
    path.write_text(f"#!/bin/sh\n{INCUS}")
    path.chmod(0o755)
    (tmp_path / "status").write_text("RUNNING")
    (tmp_path / "pid").write_text("7")
    (tmp_path / "kind").write_text("CONTAINER")
    return Host(tmp_path)


def keys(host: Host) -> dict[str, str]:
    return {path.name: path.read_text() for path in (host.folder / "keys").iterdir()}


def run(host: Host, script: str, **values: object) -> tuple[int, str]:
    return host.run("set-instance-config", script, {**KEYS, **values})


@pytest.mark.parametrize("old", ["a=1\nb=2\n", "a", "a\n\n", " '$(reboot)\" "])
def test_removed_value_is_restored_exactly(host, old):
    """A text of several lines keeps its last newline, or has none."""
    (host.folder / "keys" / "raw.lxc").write_text(old)

    for _ in range(2):
        assert run(host, "apply", unset=["raw.lxc"])[0] == 0
        assert keys(host) == {}
    for _ in range(2):
        assert run(host, "undo", unset=["raw.lxc"])[0] == 0
        assert keys(host) == {"raw.lxc": old}


def test_key_that_was_unset_is_unset_again(host):
    """`config set KEY=` differs from `config unset KEY`."""
    assert run(host, "apply", set=["a=1"])[0] == 0
    assert keys(host) == {"a": "1"}

    assert run(host, "undo", set=["a=1"])[0] == 0
    assert keys(host) == {}
    assert host.changes == ["config set --project p -- web a=1", "config unset --project p -- web a"]


def test_key_that_is_set_twice_gets_its_first_value_back(host):
    """The undo runs in reverse order."""
    for old in ({}, {"a": "yes"}):
        for name, value in old.items():
            (host.folder / "keys" / name).write_text(value)
        assert run(host, "apply", set=["a=false", "a=true"])[0] == 0
        assert keys(host) == {"a": "true"}
        assert run(host, "undo", set=["a=false", "a=true"])[0] == 0
        assert keys(host) == old
        for path in (host.folder / "state").iterdir():
            path.unlink()


def test_correct_value_is_not_written_again(host):
    """A second run changes nothing."""
    (host.folder / "keys" / "a").write_text("1")

    assert run(host, "apply", set=["a=1"], unset=["b"])[0] == 0
    assert host.changes == []


@pytest.mark.parametrize(("status", "restarts"), [("RUNNING", 1), ("READY", 1), ("STOPPED", 0)])
def test_only_a_running_instance_is_restarted_and_only_once(host, status, restarts):
    """An instance in the state READY is running too. Undo restarts the instance that apply restarted."""
    (host.folder / "status").write_text(status)

    for _ in range(2):
        assert run(host, "apply", restart=True)[0] == 0
    assert host.changes == [RESTART] * restarts
    for _ in range(2):
        assert run(host, "undo", restart=True)[0] == 0
    assert host.changes == [RESTART] * restarts


def test_undo_leaves_an_instance_running_that_did_not_stop(host):
    """It never left its old state. Another stop would time out again and leave the state unknown."""
    (host.folder / "hangs").touch()

    assert run(host, "apply", set=["a=1"], restart=True)[0] == 1
    code, output = run(host, "undo", set=["a=1"], restart=True)

    assert (code, keys(host)) == (0, {})
    assert "p/web: not restarted" in output


def test_undo_starts_an_instance_that_did_not_come_up_again(host):
    """It ran before the fix."""
    run(host, "apply", set=["a=1"], restart=True)
    (host.folder / "status").write_text("STOPPED")
    _ = host.changes

    assert run(host, "undo", set=["a=1"], restart=True)[0] == 0
    assert host.changes == ["config unset --project p -- web a", "start --project p -- web"]


def test_frozen_instance_is_not_restarted(host):
    """The script changes nothing that would not take effect."""
    (host.folder / "status").write_text("FROZEN")

    code, output = run(host, "apply", set=["a=1"], restart=True)

    assert (code, host.changes) == (1, [])
    assert "refused: p/web is neither running nor stopped" in output


@pytest.mark.parametrize(
    ("status", "back"), [("STOPPED", "stop --project p --timeout 100"), ("FROZEN", "pause --project p")]
)
def test_started_instance_gets_its_old_state_back(host, status, back):
    """A frozen instance is frozen again."""
    (host.folder / "status").write_text(status)

    for _ in range(2):
        assert run(host, "apply", start=True)[0] == 0
    assert host.changes == ["start --project p -- web"]
    for _ in range(2):
        assert run(host, "undo", start=True)[0] == 0
    assert host.changes == [f"{back} -- web"]


@pytest.mark.parametrize("status", ["STOPPED", "FROZEN"])
def test_undo_accepts_an_instance_that_could_not_be_started(host, status):
    """Incus refuses to stop a stopped instance. The undo would fail forever and block the site."""
    (host.folder / "status").write_text(status)
    (host.folder / "broken").touch()

    assert run(host, "apply", start=True)[0] == 1
    assert run(host, "undo", start=True)[0] == 0
    assert (host.changes, (host.folder / "status").read_text()) == ([], status)


def test_ephemeral_instance_is_not_restarted(host):
    """Incus deletes it when it stops, so a restart that fails half way deletes it."""
    (host.folder / "kind").write_text("CONTAINER (EPHEMERAL)")

    code, output = run(host, "apply", set=["a=1"], restart=True)

    assert (code, host.changes) == (1, [])
    assert "refused: p/web is ephemeral" in output


@pytest.mark.parametrize("script", ["apply", "undo"])
def test_script_fails_if_incus_does_not_report_the_state(host, script):
    """Otherwise it would announce the next start, and the instance would continue to run unchanged."""
    if script == "undo":
        run(host, "apply", set=["a=1"], restart=True)
    (host.folder / "deaf").touch()

    assert run(host, script, set=["a=1"], restart=True)[0] != 0


def test_deleted_instance_needs_no_undo(host):
    """Its undo would fail forever and block the undo of all earlier steps of its run."""
    device = {"name": "d", "type": "disk", "own": True, "given": False, "properties": []}
    (host.folder / "devices" / "d").write_text("disk\n")
    for name, values in (
        ("set-instance-config", {**KEYS, "set": ["a=1"]}),
        ("detach-devices", {"instance": "web", "project": "p", "devices": [device]}),
    ):
        assert host.run(name, "apply", values)[0] == 0
        (host.folder / "gone").touch()
        assert host.run(name, "undo", values) == (0, "p/web does not exist any more\n")
        (host.folder / "gone").unlink()


def test_running_instance_is_not_started(host):
    """Undo does not stop it either."""
    run(host, "apply", start=True)
    run(host, "undo", start=True)

    assert host.changes == []


def test_manual_case_is_refused_first(host):
    """The output has the reason. The script neither reads nor changes anything."""
    code, output = run(host, "apply", set=["a=1"], restart=True, refuse="raw.lxc comes from profile svc")

    assert (code, "refused: raw.lxc comes from profile svc" in output) == (1, True)
    assert not (host.folder / "asked").exists()


@pytest.mark.parametrize(
    ("own", "given", "left"), [(True, False, {}), (False, True, {"d": "none"}), (True, True, {"d": "none"})]
)
def test_device_is_removed_wherever_it_is_defined(host, own, given, left):
    """A device from a profile is masked, also if a local device of the instance hid it."""
    device = {"name": "d", "type": "disk", "own": own, "given": given, "properties": ["source=/etc", "path=/mnt"]}
    values = {"instance": "web", "project": "p", "devices": [device]}
    if own:
        (host.folder / "devices" / "d").write_text("disk\n")

    def devices():
        return {path.name: path.read_text().strip() for path in (host.folder / "devices").iterdir()}

    before = devices()
    for _ in range(2):
        assert host.run("detach-devices", "apply", values)[0] == 0
        assert devices() == left
    for _ in range(2):
        assert host.run("detach-devices", "undo", values)[0] == 0
        assert devices() == before
    if own:
        assert "config device add --project p -- web d disk source=/etc path=/mnt" in host.changes
