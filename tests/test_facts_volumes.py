"""Tests the facts about storage volumes and backups."""

from __future__ import annotations

import pytest

from sigsrv.collect import urls
from sigsrv.collect.evidence import Answer, ApiAnswer, Evidence
from sigsrv.facts import backups
from sigsrv.facts.backups import BackupFacts, BackupFile, MountPoint
from sigsrv.facts.incus import IncusFacts
from sigsrv.facts.parsing import moment
from sigsrv.facts.volumes import VolumeUser, custom_volumes
from sigsrv.model.errors import EvidenceError, FailureKind

# The answer of a server with Incus 6.0.4.
ROWS = [
    {
        "config": {},
        "content_type": "filesystem",
        "created_at": "2026-11-23T17:31:51.221475199Z",
        "description": "",
        "location": "minisrv",
        "name": "web",
        "project": "default",
        "type": "container",
        "used_by": ["/1.0/instances/web"],
    },
    {
        "config": {"security.shared": "true", "size": "20MiB"},
        "content_type": "block",
        "created_at": "2026-11-23T17:53:05.041268651Z",
        "description": "",
        "location": "sigsrv",
        "name": "blk",
        "project": "default",
        "type": "custom",
        "used_by": [],
    },
    {
        "config": {"snapshots.schedule": "@daily"},
        "content_type": "filesystem",
        "created_at": "2026-11-23T17:53:04.480461Z",
        "description": "",
        "location": "minisrv",
        "name": "pd",
        "project": "default",
        "type": "custom",
        "used_by": ["/1.0/instances/a%20b?project=user-alice", "/1.0/profiles/svc", "/1.0"],
    },
    {
        "config": {"snapshots.schedule": "@daily"},
        "content_type": "filesystem",
        "created_at": "2026-11-23T17:53:04.582184Z",
        "description": "",
        "location": "minisrv",
        "name": "pd/s1",
        "project": "default",
        "type": "custom",
        "used_by": [],
    },
]


def changed(index, **values):
    return [{**row, **values} if at == index else row for at, row in enumerate(ROWS)]


def test_custom_volumes_are_read_with_their_snapshots_and_users():
    """Volumes of instances are left out. A snapshot belongs to the volume with the same member and project."""
    blk, pd = custom_volumes("hdd", ROWS)

    assert (blk.resource, blk.location, blk.content_type, blk.snapshots) == ("hdd/default/blk", "sigsrv", "block", ())
    assert (blk.config["security.shared"], blk.config["security.unmapped"]) == ("true", "false")
    assert pd.snapshots == (1795456384.582184,)
    assert pd.used_by == (
        VolumeUser("instances", "user-alice", "a b"),
        VolumeUser("profiles", "default", "svc"),
        VolumeUser("other", "", "/1.0"),
    )


def test_volumes_with_the_same_name_on_two_members_are_two_volumes():
    """Each has its own snapshots."""
    rows = [*ROWS, {**ROWS[2], "location": "sigsrv", "used_by": None}]
    found = {volume.location: volume for volume in custom_volumes("hdd", rows) if volume.name == "pd"}

    assert (len(found["minisrv"].snapshots), len(found["sigsrv"].snapshots)) == (1, 0)


@pytest.mark.parametrize(
    "rows",
    [
        changed(2, created_at=""),
        changed(2, created_at="yesterday"),
        changed(2, created_at="2026-11-23T17:53:04"),
        changed(2, config=None),
        changed(2, used_by={}),
        changed(2, used_by=[1]),
        changed(2, project=""),
        changed(2, name=None),
        changed(2, name="other"),
        changed(2, type=None),
        changed(0, type="bucket"),
        [{key: value for key, value in row.items() if key != "used_by"} for row in ROWS],
    ],
)
def test_a_malformed_list_of_volumes_is_refused(rows):
    """A snapshot without its volume in the list is refused too: the list is incomplete."""
    with pytest.raises((KeyError, TypeError, ValueError)):
        custom_volumes("hdd", rows)


# A row of Incus 7.0.2 with recursion=2: the snapshots are in the row of their volume, and have no row of their own.
FULL = {
    **ROWS[2],
    "backups": [],
    "state": {"usage": {"total": 0}},
    "snapshots": [{"created_at": "2026-11-23T17:53:04.582184Z", "name": "s1"}],
}


def of_daemon(extensions: list[str], address: str, row: dict) -> IncusFacts:
    environment = {"server_clustered": True, "server_version": "7.0.2"}
    server = {"auth": "trusted", "environment": environment, "config": {}, "api_extensions": extensions}
    api = {urls.SERVER: ApiAnswer(200, server), urls.WARNINGS: ApiAnswer(200, []), address: ApiAnswer(200, [row])}
    return IncusFacts(Evidence("sigsrv", 0.0, api=api))


def test_snapshots_in_the_row_of_their_volume_are_read():
    """A newer daemon, by its API extension, lists them there: null if there are none."""
    address = urls.volumes_url("hdd", full=True)

    (found,) = of_daemon(["storage_volume_full"], address, FULL).volumes("hdd")
    (other,) = of_daemon(["storage_volume_full"], address, FULL | {"snapshots": None}).volumes("hdd")

    assert (found.name, found.snapshots) == ("pd", (1795456384.582184,))
    assert other.snapshots == ()


@pytest.mark.parametrize(
    ("address", "row"),
    [
        (urls.volumes_url("hdd"), FULL),
        (urls.volumes_url("hdd", full=True), ROWS[2]),
        (urls.volumes_url("hdd", full=True), FULL | {"snapshots": [{"created_at": "2026-11-23T17:53:04Z"}]}),
        (urls.volumes_url("hdd", full=True), FULL | {"snapshots": {}}),
    ],
    ids=["the list without snapshots", "no snapshots in the row", "a snapshot without a name", "no list"],
)
def test_a_list_without_snapshots_is_an_error_where_the_daemon_has_them_in_the_row(address, row):
    """Otherwise volumes of such a daemon would read as if nobody had taken a snapshot."""
    with pytest.raises(EvidenceError):
        of_daemon(["storage_volume_full"], address, row).volumes("hdd")


@pytest.mark.parametrize(
    "answer",
    [ApiAnswer(200, None), ApiAnswer(200, {}), ApiAnswer(200, [1]), ApiAnswer(200, ""), None],
)
def test_an_answer_that_is_not_a_list_of_volumes_is_an_error(answer):
    """A missing or malformed answer never reads as an empty list."""
    server = {"auth": "trusted", "environment": {"server_clustered": True, "server_version": "6.0.4"}, "config": {}}
    api = {urls.SERVER: ApiAnswer(200, server), urls.WARNINGS: ApiAnswer(200, [])}
    if answer:
        api[urls.volumes_url("hdd")] = answer
    facts = IncusFacts(Evidence("sigsrv", 0.0, api=api))

    with pytest.raises(EvidenceError):
        facts.volumes("hdd")
    with pytest.raises(EvidenceError):
        _ = facts.extensions


@pytest.mark.parametrize(
    ("value", "seconds"),
    [
        ("1970-01-01T00:01:00Z", 60.0),
        ("1970-01-01T01:00:00.5+01:00", 0.5),
        ("0001-01-01T00:00:00Z", None),
    ],
)
def test_times_are_read_as_incus_writes_them(value, seconds):
    """Go's zero time means that the time is unknown."""
    assert moment(value, "created_at") == seconds


LIST = "1795000000.5 20 /srv/backups/web 1.tar.gz\0" + "1795000001 0 /srv/backups/deep/a\nb\0"


def holder(find=None, findmnt=None):
    return BackupFacts(Evidence("sigsrv", 0.0, probes={"backups": find, "backups-on": findmnt}))


def test_each_file_has_its_name_time_and_size():
    """A name may contain blanks and line ends. It does not contain the folder."""
    assert backups.files(LIST, "/srv/backups/") == (
        BackupFile("web 1.tar.gz", 1795000000.5, 20),
        BackupFile("a\nb", 1795000001.0, 0),
    )
    assert backups.files("", "/srv/backups") == ()


@pytest.mark.parametrize(
    "document",
    [LIST[:-1], "\0", "x\0", "1 2 srv/backups/a\0", "1 2 /srv/backups2/a\0", "1 -2 /srv/backups/a\0", "[]", "{}", "\n"],
)
def test_an_invalid_list_of_files_is_an_error(document):
    """Covers a record that is cut off or malformed, and a file outside the folder."""
    with pytest.raises(EvidenceError):
        backups.files(document, "/srv/backups")


@pytest.mark.parametrize(
    "answer",
    [
        Answer("find", 1, LIST, "find: '/srv/backups/x': Permission denied"),
        Answer("find", 1, LIST, "find: '/srv/backups': No such file or directory"),
        Answer("find", 1, "", "find: '/srv/backups/x': No such file or directory"),
        Answer("find", 1, "", "sudo: a password is required"),
    ],
)
def test_a_failed_find_is_an_error(answer):
    """The only exception is a missing folder: it has no files."""
    with pytest.raises(EvidenceError):
        holder(answer).files("/srv/backups")

    gone = Answer("find", 1, "", "find: '/srv/backups': No such file or directory")
    assert holder(gone).files("/srv/backups") == ()


def test_the_file_system_of_the_folder_is_read():
    """If several file systems are mounted over each other, the last one in the list is on top."""
    row = '{"source": "%s", "fstype": "%s", "target": "/srv"}'
    ext4, zfs = row % ("/dev/vda", "ext4"), row % ("tank/a b", "zfs")

    assert backups.place('{"filesystems": [' + ext4 + "]}") == MountPoint("/dev/vda", "ext4", "/srv")
    assert backups.place('{"filesystems": [' + ext4 + "]}").zpool is None
    assert backups.place('{"filesystems": [' + ext4 + "," + zfs + "]}").zpool == "tank"


@pytest.mark.parametrize("source", ["tank", "tank/a", "tank[/backups]", "tank/a[/b/c]"])
def test_a_folder_that_is_mounted_from_a_dataset_is_in_its_pool(source):
    """findmnt writes such a folder after the dataset, in brackets."""
    assert MountPoint(source, "zfs", "/srv/backups").zpool == "tank"


@pytest.mark.parametrize(
    "document",
    ["", "[]", "{}", '{"filesystems": []}', '{"filesystems": [{"source": null, "fstype": "a", "target": "/"}]}'],
)
def test_an_unreadable_file_system_is_an_error(document):
    """No value is guessed."""
    with pytest.raises(EvidenceError):
        backups.place(document)
    with pytest.raises(EvidenceError) as caught:
        _ = holder(findmnt=Answer("findmnt", 1, "", "")).place
    assert caught.value.kind is FailureKind.GARBLED
