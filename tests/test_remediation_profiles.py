"""Tests the scripts that change a profile, with an Incus that is a folder of files."""

from __future__ import annotations

import pytest

from tests.fake_host import FakeHost, make_host

# keys/KEY and devices/NAME are those of the profile. Commands that change something are recorded in "done".
INCUS = r"""
case "$1 $2 $3" in
  "profile list local:") cat "$HERE/profiles"; exit ;;
  "profile show --project") printf 'name: svc\nused_by:\n'; cat "$HERE/used"; echo "project: default"; exit ;;
  "profile device list") ls "$HERE/devices"; exit ;;
  "profile device get") sed -n "s/^$9=//p" "$HERE/devices/$8"; exit ;;
  "profile device remove") echo "remove $8" >>"$HERE/done"; rm "$HERE/devices/$8"; exit ;;
  "profile device add") file=$HERE/devices/$8; echo "add $8" >>"$HERE/done"; shift 8; echo "type=$1" >"$file"; shift
    for pair; do echo "$pair" >>"$file"; done; exit ;;
  "profile get --project") [ ! -e "$HERE/keys/$7" ] || cat "$HERE/keys/$7"; echo; exit ;;
  "profile set --project") shift 6; echo "set $*" >>"$HERE/done"
    for pair; do printf %s "${pair#*=}" >"$HERE/keys/${pair%%=*}"; done; exit ;;
  "profile unset --project") echo "unset $7" >>"$HERE/done"; rm "$HERE/keys/$7"; exit ;;
  "list local: --project")
    case "$*" in *" ns") file=status ;; *" np") file=pid ;; *" nt") file=kind ;; *) exit 9 ;; esac
    [ ! -s "$HERE/$file" ] || echo "web,$(cat "$HERE/$file")"; exit ;;
  "config get --expanded") echo; exit ;;
  "query -- local:/1.0/operations?recursion=1&project=p") echo "{}"; exit ;;
  "restart --project p") echo restart >>"$HERE/done"; echo "1$(cat "$HERE/pid")" >"$HERE/pid"; exit ;;
esac
exit 9
"""
VALUES = {
    "profile": "svc",
    "owner": "default",
    "set": ["security.privileged=false"],
    "unset": ["raw.lxc"],
    "devices": [{"name": "etc", "type": "disk", "properties": ["path=/mnt", "source=/etc"]}],
    "restart": [{"instance": "web", "project": "p"}],
    "used_by": ["/1.0/instances/db", "/1.0/instances/web?project=p"],
    "guests": [],
    "refuse": "",
}
USED = "- /1.0/instances/web?project=p\n- /1.0/instances/db\n"
DEVICE = "type=disk\npath=/mnt\nsource=/etc\n"
KEYS = {"security.privileged": "true", "raw.lxc": "a = 1\nb = 2\n"}


@pytest.fixture
def host(tmp_path):
    for folder, files in (("keys", KEYS), ("devices", {"etc": DEVICE})):
        (tmp_path / folder).mkdir()
        for name, text in files.items():
            (tmp_path / folder / name).write_text(text)
    for name, text in (
        ("profiles", "default\nsvc\n"),
        ("used", USED),
        ("status", "RUNNING"),
        ("pid", "7"),
        ("kind", "CONTAINER"),
    ):
        (tmp_path / name).write_text(text)
    return make_host(FakeHost, tmp_path, {"incus": INCUS})


def content(host: FakeHost, folder: str) -> dict[str, str]:
    return {path.name: path.read_text() for path in (host.folder / folder).iterdir()}


def run(host: FakeHost, script: str, **environment: str) -> tuple[int, str]:
    return host.run("set-profile-config", script, VALUES, **environment)


def test_profile_changes_once_and_gets_all_back(host):
    """A text of several lines keeps its last newline. The instance restarts once, and once with the undo."""
    for changes in (["set security.privileged=false", "unset raw.lxc", "remove etc", "restart"], []):
        assert run(host, "apply")[0] == 0
        assert host.changes == changes
    assert (content(host, "keys"), content(host, "devices")) == ({"security.privileged": "false"}, {})

    for count in (1, 0):
        assert run(host, "undo")[0] == 0
        assert host.changes.count("restart") == count
    assert (content(host, "keys"), content(host, "devices")) == (KEYS, {"etc": DEVICE})


def test_instance_that_got_the_profile_since_the_plan_stops_the_fix(host):
    """The plan did not name it, so nobody agreed to its change."""
    (host.folder / "used").write_text(USED + "- /1.0/instances/new\n")

    code, output = run(host, "apply")

    assert (code, host.changes) == (1, [])
    assert "refused: the instances that have profile default/svc are not those of the plan" in output


def test_device_that_somebody_changed_since_the_plan_stops_the_fix(host):
    """The undo could not give it back."""
    (host.folder / "devices" / "etc").write_text("type=disk\npath=/mnt\nsource=/srv\n")

    code, output = run(host, "apply")

    assert (code, host.changes) == (1, [])
    assert "refused: profile default/svc: source of device etc is /srv now" in output


def test_undo_leaves_what_somebody_changed_since_the_fix(host):
    """It gives back the rest. With force, it writes that too."""
    run(host, "apply")
    (host.folder / "keys" / "security.privileged").write_text("1")
    (host.folder / "devices" / "etc").write_text("type=disk\npath=/mnt\nsource=/srv\n")

    code, output = run(host, "undo")

    assert code == 0
    assert "kept: profile default/svc: security.privileged is 1, not false as the fix left it" in output
    assert "kept: profile default/svc: device etc is there with other properties" in output
    assert content(host, "keys") == {**KEYS, "security.privileged": "1"}
    assert run(host, "undo", SIGSRV_FORCE="yes")[0] == 0
    assert (content(host, "keys"), content(host, "devices")) == (KEYS, {"etc": DEVICE})


def test_undo_says_so_where_the_profile_is_gone_or_has_another_name(host):
    """A profile has no identity but its name, so nobody knows which of the two it is."""
    run(host, "apply")
    (host.folder / "profiles").write_text("default\n")
    _ = host.changes

    code, output = run(host, "undo")

    assert (code, host.changes) == (0, [])
    assert "kept: project default has no profile svc any more" in output


def test_undo_of_a_deleted_instance_gives_the_profile_back(host):
    run(host, "apply")
    (host.folder / "status").write_text("")
    _ = host.changes

    code, output = run(host, "undo")

    assert (code, content(host, "keys")) == (0, KEYS)
    assert "p/web: no such instance any more" in output
