"""Tests the script that schedules snapshots, with programs that are files: the room for full copies, and what it puts back."""

from __future__ import annotations

import pytest

from tests.fake_host import FakeHost, make_host

INCUS = """\
case "$1 $2 $3" in
  "query -- local:/1.0/storage-pools/hdd")
    printf '{\\n\\t"config": {\\n%s\\n\\t},\\n' "$(cat "$HERE/limit")"
    printf '\\t"driver": "%s",\\n}\\n' "$(cat "$HERE/driver")" ;;
  "query -- local:/1.0/operations"*) cat "$HERE/operations"; : >"$HERE/operations" ;;
  "query -- local:/1.0/storage-pools/%68%64%64/volumes/custom/%64%61%74%61/snapshots?"*) cat "$HERE/snapshots" ;;
  "query -- local:/1.0/storage-pools/"*) cat "$HERE/volumes" ;;
  "storage volume show")
    [ -e "$HERE/shown" ] || { echo 'Error: Storage pool volume "custom/data" not found' >&2; exit 1; }
    cat "$HERE/shown" ;;
  "storage volume get") [ ! -s "$HERE/$9" ] || grep . "$HERE/$9" || true ;; # nothing if it is unset
  "storage volume set") echo "set $8 $9" >>"$HERE/done"; echo "${9#*=}" >"$HERE/${9%%=*}" ;;
  "storage volume snapshot") echo "$4 $9 ${10}" >>"$HERE/done"; [ "$4" = delete ] || echo "/snapshots/${10}\\"" >"$HERE/snapshots" ;;
  *) echo "$*" >>"$HERE/done" ;;
esac
"""
PROGRAMS = {
    "incus": INCUS,
    "du": 'echo "$(cat "$HERE/used") x"\n',
    "df": 'printf "x\\nx %s x %s x x\\n" $(cat "$HERE/disk")\n',
}
VALUES = {
    "kind": "volume",
    "name": "data",
    "project": "default",
    "pool": "hdd",
    "target": "",
    "schedule": "@daily",
    "expiry": "2w",
    "allow": "",
    "snapshot": "yes",
    "copies": "15",
}
CREATED = "created_at: 2026-11-30T09:22:28.1Z\n"
ROW = '\t{\n\t\t"created_at": "%s",\n\t\t"location": "sigsrv",\n\t\t"name": "%s",\n\t}\n'


@pytest.fixture
def host(tmp_path):
    found = make_host(FakeHost, tmp_path, PROGRAMS)
    (tmp_path / "storage-pools" / "hdd" / "custom" / "default_data").mkdir(parents=True)
    for name, text in (
        ("driver", "dir"),
        ("limit", ""),
        ("used", "1024"),
        ("disk", "10485760 10485760"),
        ("shown", CREATED),
    ):
        (tmp_path / name).write_text(text)
    for name in ("operations", "snapshots", "volumes"):
        (tmp_path / name).touch()
    return found


def run(host: FakeHost, script: str, **values: str) -> tuple[int, str]:
    environment = {key: values.pop(key) for key in ("SIGSRV_FORCE",) if key in values}
    return host.run("schedule-snapshots", script, VALUES | values, INCUS_DIR=str(host.folder), **environment)


@pytest.mark.parametrize(
    ("files", "copies", "reason"),
    [
        ({}, "15", ""),
        ({"used": str(700 * 1024)}, "15", "15 copies of 700 MiB do not fit into the 9216 MiB that may be used"),
        ({"used": str(600 * 1024)}, "15", ""),
        ({"used": str(700 * 1024), "driver": "btrfs"}, "15", ""),
        ({"used": str(700 * 1024)}, "0", ""),
        ({}, "", "unknown how many full copies"),
        ({"used": str(9000 * 1024), "limit": '\t\t"rsync.bwlimit": "50MB"\n'}, "1", ""),
        ({"used": str(9000 * 1024), "limit": '\t\t"rsync.bwlimit": "40MB"\n'}, "1", "takes about 4 minutes"),
    ],
)
def test_full_copies_that_do_not_fit_are_refused(host, files, copies, reason):
    """Only a pool of directories makes full copies. A slow copy would be broken off, and appear after the undo."""
    for name, text in files.items():
        (host.folder / name).write_text(text)

    code, output = run(host, "apply", copies=copies)

    assert (code, bool(host.changes)) == ((1, False) if reason else (0, True)), output
    assert reason in output


def test_size_that_is_unknown_is_refused(host):
    """The volume is on another host, or the daemon's folder is elsewhere."""
    (host.folder / "storage-pools" / "hdd" / "custom" / "default_data").rmdir()

    code, output = run(host, "apply")

    assert (code, host.changes) == (1, [])
    assert "so the size of its full copies is unknown" in output


def test_snapshot_that_incus_still_takes_is_awaited_and_deleted(host):
    """The script that began it may have been stopped: its time was up."""
    assert run(host, "apply")[0] == 0
    snapshot = (host.folder / "state" / "snapshot").read_text().strip()
    (host.folder / "operations").write_text(f'"/1.0/storage-pools/hdd/volumes/custom/data/snapshots/{snapshot}"\n')
    _ = host.changes

    assert run(host, "undo")[0] == 0
    assert host.changes == [f"delete data {snapshot}", "set data snapshots.schedule=", "set data snapshots.expiry="]


def test_keys_that_somebody_set_since_stay(host):
    """With --force the old values come back."""
    assert run(host, "apply", snapshot="")[0] == 0
    (host.folder / "snapshots.expiry").write_text("8w\n")
    _ = host.changes

    assert "kept: data: snapshots.expiry is 8w, not 2w as the fix left it" in run(host, "undo", snapshot="")[1]
    assert host.changes == ["set data snapshots.schedule="]
    assert run(host, "undo", snapshot="", SIGSRV_FORCE="yes")[0] == 0
    assert host.changes == ["set data snapshots.expiry="]


@pytest.mark.parametrize(
    ("shown", "rows", "said"),
    [
        ("", [], "nothing left to undo"),
        ("", [("2026-11-30T09:22:28.1Z", "data/first"), ("2026-11-30T09:22:29Z", "other")], "nothing left to undo"),
        ("created_at: 2026-11-30T10:00:00Z\n", [], "another volume of the same name now"),
        ("created_at: 2026-11-30T10:00:00Z\n", [("2026-11-30T09:22:28.1Z", "moved")], "hdd/default/data is moved now"),
        ("", [("2026-11-30T09:22:28.1Z", "moved")], "hdd/default/data is moved now"),
    ],
)
def test_volume_is_found_by_the_time_of_its_creation(host, shown, rows, said):
    """A volume has no uuid. A rename is found, a namesake is left alone, and a deletion ends the undo."""
    assert run(host, "apply", snapshot="")[0] == 0
    _ = host.changes
    (host.folder / "shown").unlink()
    if shown:
        (host.folder / "shown").write_text(shown)
    (host.folder / "volumes").write_text("[\n" + "".join(ROW % row for row in rows) + "]\n")

    code, output = run(host, "undo", snapshot="")

    assert (code, said in output) == (0, True)
    moved = "is moved now" in said
    assert host.changes == (["set moved snapshots.schedule=", "set moved snapshots.expiry="] if moved else [])
