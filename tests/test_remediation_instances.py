"""Tests the scripts for instance keys and devices, with an Incus that is a folder of files."""

from __future__ import annotations

import pytest

from tests.test_remediation_scripts import Host

# keys/KEY and devices/NAME are local to the instance. "status" is its state, "name" its project and name. Commands that change
# something are recorded in "done". A key of the folder "given" comes from a profile.
INCUS = r"""
echo "$*" >>"$HERE/asked"
if [ -e "$HERE/deaf" ]; then echo "Error: no leader" >&2; exit 1; fi
is="$(cat "$HERE/name")"
case "$1 $2 $3" in
  "list local: --all-projects") case "$*" in *" en -- volatile.uuid=7") echo "$is" ;; *" s") cat "$HERE/status" ;; esac; exit ;;
  "list local: --project") echo "webby,STOPPED"
    case "$*" in *" ns") file=status ;; *" np") file=pid ;; *" nt") file=kind ;; *) exit 9 ;; esac
    case "$file $(cat "$HERE/status")" in "pid STOPPED") echo "${is#*,},"; exit ;; esac
    echo "${is#*,},$(cat "$HERE/$file")"; exit ;;
  "query -- local:/1.0/operations?recursion=1&project=p") cat "$HERE/operations"; exit ;;
esac
case " $* " in *" --project ${is%%,*} "*" local:${is#*,} "*) ;; *) echo "Error: Instance not found" >&2; exit 1 ;; esac
case "$1 $2 $3" in
  "config device list") ls "$HERE/devices" ;;
  "config device get") sed -n "s/^$9=//p" "$HERE/devices/$8" ;;
  "config device add") echo "$*" >>"$HERE/done"; [ ! -e "$HERE/refuses" ] || { cat "$HERE/refuses" >&2; exit 1; }
    file=$HERE/devices/$8; shift 8; echo "type=$1" >"$file"; shift; for pair; do echo "$pair" >>"$file"; done ;;
  "config device remove") echo "$*" >>"$HERE/done"; rm "$HERE/devices/$8" ;;
  "config get --project") [ ! -e "$HERE/keys/$7" ] || cat "$HERE/keys/$7"; [ "$7" != volatile.uuid ] || printf 7; echo ;;
  "config get --expanded") [ ! -e "$HERE/given/$8" ] || cat "$HERE/given/$8"; echo ;;
  "config set --project") echo "$*" >>"$HERE/done"; [ ! -e "$HERE/refuses" ] || { cat "$HERE/refuses" >&2; exit 1; }
    shift 6; for pair; do printf %s "${pair#*=}" >"$HERE/keys/${pair%%=*}"; done ;;
  "config unset --project") echo "$*" >>"$HERE/done"; rm "$HERE/keys/$7" ;;
  "restart "*) [ ! -e "$HERE/hangs" ] || exit 1; echo "$*" >>"$HERE/done"; echo "1$(cat "$HERE/pid")" >"$HERE/pid" ;;
  "start "*) [ ! -e "$HERE/broken" ] || exit 1; echo "$*" >>"$HERE/done"; echo RUNNING >"$HERE/status" ;;
  "stop "*) [ ! -e "$HERE/hangs" ] || exit 1; echo "$*" >>"$HERE/done"; echo STOPPED >"$HERE/status" ;;
  "pause "*) echo "$*" >>"$HERE/done"; echo FROZEN >"$HERE/status" ;;
  *) exit 9 ;;
esac
"""
KEYS = {"instance": "web", "project": "p", "set": [], "unset": [], "restart": False, "start": False, "refuse": ""}
RESTART = "restart --project p --timeout 100 -- local:web"


@pytest.fixture
def host(tmp_path):
    for name in ("bin", "state", "keys", "given", "devices"):
        (tmp_path / name).mkdir()
    path = tmp_path / "bin" / "incus"
    path.write_text(f"#!/bin/sh\n{INCUS}")
    path.chmod(0o755)
    (tmp_path / "status").write_text("RUNNING")
    (tmp_path / "pid").write_text("7")
    (tmp_path / "kind").write_text("CONTAINER")
    (tmp_path / "name").write_text("p,web")
    (tmp_path / "operations").write_text("{}\n")
    return Host(tmp_path)


def devices(host: Host) -> dict[str, str]:
    return {path.name: path.read_text().strip() for path in (host.folder / "devices").iterdir()}


def keys(host: Host) -> dict[str, str]:
    return {path.name: path.read_text() for path in (host.folder / "keys").iterdir()}


def run(host: Host, script: str, SIGSRV_FORCE: str = "", **values: object) -> tuple[int, str]:
    return host.run("set-instance-config", script, {**KEYS, **values}, SIGSRV_FORCE=SIGSRV_FORCE)


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
    assert host.changes == ["config set --project p -- local:web a=1", "config unset --project p -- local:web a"]


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
        assert run(host, "apply", set=["a=1"], restart=True)[0] == 0
    assert host.changes == ["config set --project p -- local:web a=1", *[RESTART] * restarts]
    for _ in range(2):
        assert run(host, "undo", set=["a=1"], restart=True)[0] == 0
    assert host.changes == ["config unset --project p -- local:web a", *[RESTART] * restarts]


def test_undo_that_puts_nothing_back_does_not_restart(host):
    """The fix was a restart alone, or somebody set the key again."""
    run(host, "apply", set=["a=1"], restart=True)
    (host.folder / "keys" / "a").write_text("2")
    _ = host.changes

    code, output = run(host, "undo", set=["a=1"], restart=True)

    assert (code, host.changes) == (0, [])
    assert output == "kept: p/web: a is 2, not 1 as the fix left it\n"


def test_value_that_somebody_changed_is_put_back_only_with_force(host):
    """The other keys are put back in any case."""
    (host.folder / "keys" / "b").write_text("x\ny\n")
    assert run(host, "apply", set=["a=1"], unset=["b"])[0] == 0
    (host.folder / "keys" / "a").write_text("2")

    assert run(host, "undo", set=["a=1"], unset=["b"])[0] == 0
    assert keys(host) == {"a": "2", "b": "x\ny\n"}
    assert run(host, "undo", set=["a=1"], unset=["b"], SIGSRV_FORCE="yes")[0] == 0
    assert keys(host) == {"b": "x\ny\n"}


def test_old_value_that_incus_refuses_is_left(host):
    """The project was restricted since: each further try would fail too, and block the site."""
    (host.folder / "keys" / "b").write_text("1")
    assert run(host, "apply", set=["b=0"])[0] == 0
    (host.folder / "refuses").write_text("Error: Failed checking if instance update allowed: \nno")

    code, output = run(host, "undo", set=["b=0"])

    assert (code, keys(host)) == (0, {"b": "0"})
    assert output == "kept: Incus refuses the old value: Error: Failed checking if instance update allowed:  no\n"
    (host.folder / "refuses").write_text("Error: no leader")
    assert run(host, "undo", set=["b=0"])[0] == 1


@pytest.mark.parametrize(
    ("set_", "protected", "refused"),
    [("a=1", "shift", False), ("security.privileged=0", "shift", True), ("a=1", "start", True)],
)
def test_instance_that_would_not_come_up_is_not_restarted(host, set_, protected, refused):
    """A protection from shifting matters only to a fix that changes the id map."""
    (host.folder / "given" / f"security.protection.{protected}").write_text("true")

    code, output = run(host, "apply", set=[set_], restart=True)

    assert (code, f"security.protection.{protected} may keep it" in output) == (int(refused), refused)
    assert (host.changes == []) is refused


OPERATION = """{
\t"running": [
\t\t{
\t\t\t"class": "%s",
\t\t\t"description": "%s",
\t\t\t"metadata": {
\t\t\t\t"interactive": %s
\t\t\t},
\t\t\t"resources": {
\t\t\t\t"instances": [
\t\t\t\t\t"/1.0/instances/%s"
\t\t\t\t]
\t\t\t},
\t\t}
\t]
}
"""


@pytest.mark.parametrize(
    ("operation", "refused"),
    [
        (("task", "Backing up instance", "false", "web?project=p"), True),
        (("websocket", "Executing command", "true", "web"), True),
        (("websocket", "Executing command", "false", "web"), False),
        (("task", "Backing up instance", "false", "webby?project=p"), False),
        (("task", "Backing up instance", "false", "web?project=q"), False),
    ],
)
def test_instance_that_incus_works_on_is_not_restarted(host, operation, refused):
    """A backup would be interrupted, and a person's shell. A command that only runs, as of a monitor, does not count."""
    (host.folder / "operations").write_text(OPERATION % operation)

    code, output = run(host, "apply", set=["a=1"], restart=True)

    assert (code, f"busy with it ({operation[1]})" in output) == (int(refused), refused)
    assert (host.changes == []) is refused


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
    assert host.changes == ["config unset --project p -- local:web a", "start --project p -- local:web"]


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
    assert host.changes == ["start --project p -- local:web"]
    for _ in range(2):
        assert run(host, "undo", start=True)[0] == 0
    assert host.changes == [f"{back} -- local:web"]


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


DEVICE = {"name": "d", "type": "disk", "own": True, "given": False, "properties": ["source=/etc", "path=/mnt"]}
DISK = "type=disk\nsource=/etc\npath=/mnt\n"
BOTH = [
    ("set-instance-config", {**KEYS, "set": ["a=1"]}),
    ("detach-devices", {"instance": "web", "project": "p", "devices": [DEVICE]}),
]


@pytest.mark.parametrize(("name", "values"), BOTH)
def test_deleted_instance_needs_no_undo(host, name, values):
    """Its undo would fail forever and block the undo of all earlier steps of its run."""
    (host.folder / "devices" / "d").write_text(DISK)
    assert host.run(name, "apply", values)[0] == 0
    (host.folder / "name").write_text("q,other")
    (host.folder / "keys" / "volatile.uuid").write_text("8")
    text = (host.folder / "bin" / "incus").read_text()
    (host.folder / "bin" / "incus").write_text(text.replace('volatile.uuid=7")', 'volatile.uuid=8")'))
    _ = host.changes

    assert host.run(name, "undo", values) == (0, "nothing left to undo: the instance that was p/web is gone\n")

    (host.folder / "name").write_text("p,web")
    assert host.run(name, "undo", values) == (
        0,
        "p/web: it is another instance of the same name now, and stays as it is\n"
        "nothing left to undo: the instance that was p/web is gone\n",
    )
    assert host.changes == []


@pytest.mark.parametrize(("name", "values"), BOTH)
def test_instance_is_unknown_while_a_member_does_not_answer(host, name, values):
    """Incus does not list its keys then. It may not be gone: the undo can be run again."""
    (host.folder / "devices" / "d").write_text(DISK)
    assert host.run(name, "apply", values)[0] == 0
    text = (host.folder / "bin" / "incus").read_text()
    (host.folder / "bin" / "incus").write_text(text.replace('volatile.uuid=7")', 'volatile.uuid=8")'))
    (host.folder / "status").write_text("ERROR")

    code, output = host.run(name, "undo", values)

    assert (code, "a member does not answer" in output) == (1, True)


@pytest.mark.parametrize(("name", "values"), BOTH)
def test_renamed_and_moved_instance_is_undone_where_it_is(host, name, values):
    """Its uuid stays the same."""
    (host.folder / "devices" / "d").write_text(DISK)
    assert host.run(name, "apply", values)[0] == 0
    (host.folder / "name").write_text("q,db")

    code, output = host.run(name, "undo", values)

    assert (code, "p/web is q/db now" in output) == (0, True)
    assert (keys(host), (host.folder / "devices" / "d").read_text()) == ({}, DISK)


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
