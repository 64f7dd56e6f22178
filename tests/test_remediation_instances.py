"""The scripts that set keys of instances and take devices from them, against an Incus that is a folder of files."""

from __future__ import annotations

import pytest

from tests.test_remediation_scripts import Host

# keys/KEY and devices/NAME are the instance's own; "status" is its state; what changes something is kept in "done".
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
def test_what_was_taken_away_comes_back_letter_for_letter(host, old):
    """A text of many lines keeps its last newline, or has none."""
    (host.folder / "keys" / "raw.lxc").write_text(old)

    for _ in range(2):
        assert run(host, "apply", unset=["raw.lxc"])[0] == 0
        assert keys(host) == {}
    for _ in range(2):
        assert run(host, "undo", unset=["raw.lxc"])[0] == 0
        assert keys(host) == {"raw.lxc": old}


def test_what_was_unset_is_unset_again_and_never_emptied(host):
    """`config set KEY=` is not `config unset KEY`."""
    assert run(host, "apply", set=["a=1"])[0] == 0
    assert keys(host) == {"a": "1"}

    assert run(host, "undo", set=["a=1"])[0] == 0
    assert keys(host) == {}
    assert host.done == ["config set --project p -- web a=1", "config unset --project p -- web a"]


def test_a_key_that_is_set_twice_goes_back_all_the_way(host):
    """What is done in order is undone in reverse."""
    for old in ({}, {"a": "yes"}):
        for name, value in old.items():
            (host.folder / "keys" / name).write_text(value)
        assert run(host, "apply", set=["a=false", "a=true"])[0] == 0
        assert keys(host) == {"a": "true"}
        assert run(host, "undo", set=["a=false", "a=true"])[0] == 0
        assert keys(host) == old
        for path in (host.folder / "state").iterdir():
            path.unlink()


def test_what_is_right_already_is_not_written(host):
    """A second run changes nothing."""
    (host.folder / "keys" / "a").write_text("1")

    assert run(host, "apply", set=["a=1"], unset=["b"])[0] == 0
    assert host.done == []


@pytest.mark.parametrize(("status", "restarts"), [("RUNNING", 1), ("READY", 1), ("STOPPED", 0)])
def test_only_what_runs_is_restarted_and_once(host, status, restarts):
    """A guest that called itself ready runs. Undo restarts what was restarted."""
    (host.folder / "status").write_text(status)

    for _ in range(2):
        assert run(host, "apply", restart=True)[0] == 0
    assert host.done == [RESTART] * restarts
    for _ in range(2):
        assert run(host, "undo", restart=True)[0] == 0
    assert host.done == [RESTART] * restarts


def test_what_does_not_end_when_it_is_to_be_restarted_is_left_running_by_undo(host):
    """It never left its old state; to wait for its end once more would end as before, and nobody would know the state."""
    (host.folder / "hangs").touch()

    assert run(host, "apply", set=["a=1"], restart=True)[0] == 1
    code, result = run(host, "undo", set=["a=1"], restart=True)

    assert (code, keys(host)) == (0, {})
    assert "p/web: not restarted" in result


def test_what_ended_and_did_not_come_up_again_is_started_by_undo(host):
    """It ran before."""
    run(host, "apply", set=["a=1"], restart=True)
    (host.folder / "status").write_text("STOPPED")
    _ = host.done

    assert run(host, "undo", set=["a=1"], restart=True)[0] == 0
    assert host.done == ["config unset --project p -- web a", "start --project p -- web"]


def test_what_is_frozen_is_not_restarted(host):
    """Nothing is changed that would not take effect."""
    (host.folder / "status").write_text("FROZEN")

    code, result = run(host, "apply", set=["a=1"], restart=True)

    assert (code, host.done) == (1, [])
    assert "refused: p/web is neither running nor stopped" in result


@pytest.mark.parametrize(
    ("status", "back"), [("STOPPED", "stop --project p --timeout 100"), ("FROZEN", "pause --project p")]
)
def test_what_was_started_is_put_back_to_what_it_was(host, status, back):
    """A frozen instance is frozen again."""
    (host.folder / "status").write_text(status)

    for _ in range(2):
        assert run(host, "apply", start=True)[0] == 0
    assert host.done == ["start --project p -- web"]
    for _ in range(2):
        assert run(host, "undo", start=True)[0] == 0
    assert host.done == [f"{back} -- web"]


@pytest.mark.parametrize("status", ["STOPPED", "FROZEN"])
def test_what_could_not_be_started_is_as_it_was_for_undo(host, status):
    """Incus refuses to stop what is stopped: it would be undone never, and nothing else could be done on the site."""
    (host.folder / "status").write_text(status)
    (host.folder / "broken").touch()

    assert run(host, "apply", start=True)[0] == 1
    assert run(host, "undo", start=True)[0] == 0
    assert (host.done, (host.folder / "status").read_text()) == ([], status)


def test_what_is_ephemeral_is_not_restarted(host):
    """A restart that fails half way has it deleted, when it ends later on."""
    (host.folder / "kind").write_text("CONTAINER (EPHEMERAL)")

    code, result = run(host, "apply", set=["a=1"], restart=True)

    assert (code, host.done) == (1, [])
    assert "refused: p/web is ephemeral" in result


@pytest.mark.parametrize("script", ["apply", "undo"])
def test_where_incus_does_not_tell_what_runs_the_script_fails(host, script):
    """It would say that it takes effect at the next start, and the instance would run on as it was."""
    if script == "undo":
        run(host, "apply", set=["a=1"], restart=True)
    (host.folder / "deaf").touch()

    assert run(host, script, set=["a=1"], restart=True)[0] != 0


def test_what_was_deleted_since_needs_no_undo(host):
    """It could never be undone, and would keep all that its run did before it from that."""
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


def test_what_runs_is_not_started(host):
    """Nor is it stopped by undo."""
    run(host, "apply", start=True)
    run(host, "undo", start=True)

    assert host.done == []


def test_what_a_person_must_do_is_refused_before_anything(host):
    """The reason is told; nothing was asked, let alone changed."""
    code, result = run(host, "apply", set=["a=1"], restart=True, refuse="raw.lxc comes from profile svc")

    assert (code, "refused: raw.lxc comes from profile svc" in result) == (1, True)
    assert not (host.folder / "asked").exists()


@pytest.mark.parametrize(
    ("own", "given", "left"), [(True, False, {}), (False, True, {"d": "none"}), (True, True, {"d": "none"})]
)
def test_a_device_is_taken_away_wherever_it_comes_from(host, own, given, left):
    """What a profile gives is masked, also where the instance's own device hid it."""
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
        assert "config device add --project p -- web d disk source=/etc path=/mnt" in host.done
