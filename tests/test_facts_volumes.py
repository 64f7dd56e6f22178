"""What is read from lists of volumes, of backups, and what restrictions forbid."""

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

# As a server of version 6.0.4 answered.
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
    """Volumes of instances are left out; a snapshot belongs to the volume of its member and project."""
    blk, pd = custom_volumes("hdd", ROWS)

    assert (blk.resource, blk.location, blk.content_type, blk.snapshots) == ("hdd/default/blk", "sigsrv", "block", ())
    assert (blk.config["security.shared"], blk.config["security.unmapped"]) == ("true", "false")
    assert pd.snapshots == (1795456384.582184,)
    assert pd.used_by == (
        VolumeUser("instances", "user-alice", "a b"),
        VolumeUser("profiles", "default", "svc"),
        VolumeUser("other", "", "/1.0"),
    )


def test_a_volume_of_one_name_on_two_members_is_two():
    """The snapshots of the one are not the other's."""
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
        [{key: value for key, value in row.items() if key != "used_by"} for row in ROWS],
    ],
)
def test_what_is_missing_or_of_another_shape_is_refused(rows):
    """Also a snapshot whose volume is not in the list: then the list is not whole."""
    with pytest.raises((KeyError, TypeError, ValueError)):
        custom_volumes("hdd", rows)


@pytest.mark.parametrize(
    "answer",
    [ApiAnswer(200, None), ApiAnswer(200, {}), ApiAnswer(200, [1]), ApiAnswer(200, ""), None],
)
def test_an_answer_that_is_no_list_of_volumes_is_an_error(answer):
    """Neither nothing nor another thing is an empty list."""
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
    """Go's zero time is not known."""
    assert moment(value, "created_at") == seconds


LIST = "1795000000.5 20 /srv/backups/web 1.tar.gz\0" + "1795000001 0 /srv/backups/deep/a\nb\0"


def holder(find=None, findmnt=None):
    return BackupFacts(Evidence("sigsrv", 0.0, probes={"backups": find, "backups-on": findmnt}))


def test_files_are_read_by_name_time_and_size():
    """A name may hold blanks and line ends; the folder is left out of it."""
    assert backups.files(LIST, "/srv/backups/") == (
        BackupFile("web 1.tar.gz", 1795000000.5, 20),
        BackupFile("a\nb", 1795000001.0, 0),
    )
    assert backups.files("", "/srv/backups") == ()


@pytest.mark.parametrize(
    "document",
    [LIST[:-1], "\0", "x\0", "1 2 srv/backups/a\0", "1 2 /srv/backups2/a\0", "1 -2 /srv/backups/a\0", "[]", "{}", "\n"],
)
def test_a_list_of_files_that_is_not_whole_is_an_error(document):
    """A record that was cut off, or is no file of the folder."""
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
def test_a_find_that_failed_is_an_error(answer):
    """Only that there is no such folder is known, and then there are no files."""
    with pytest.raises(EvidenceError):
        holder(answer).files("/srv/backups")

    gone = Answer("find", 1, "", "find: '/srv/backups': No such file or directory")
    assert holder(gone).files("/srv/backups") == ()


def test_the_file_system_of_the_folder_is_read():
    """Of several that are mounted there the last is on top."""
    row = '{"source": "%s", "fstype": "%s", "target": "/srv"}'
    ext4, zfs = row % ("/dev/vda", "ext4"), row % ("tank/a b", "zfs")

    assert backups.place('{"filesystems": [' + ext4 + "]}") == MountPoint("/dev/vda", "ext4", "/srv")
    assert backups.place('{"filesystems": [' + ext4 + "]}").zpool is None
    assert backups.place('{"filesystems": [' + ext4 + "," + zfs + "]}").zpool == "tank"


@pytest.mark.parametrize("source", ["tank", "tank/a", "tank[/backups]", "tank/a[/b/c]"])
def test_a_folder_that_is_mounted_from_a_dataset_is_in_its_pool(source):
    """findmnt writes such a folder behind the dataset, in brackets."""
    assert MountPoint(source, "zfs", "/srv/backups").zpool == "tank"


@pytest.mark.parametrize(
    "document",
    ["", "[]", "{}", '{"filesystems": []}', '{"filesystems": [{"source": null, "fstype": "a", "target": "/"}]}'],
)
def test_a_file_system_that_is_not_told_is_an_error(document):
    """Nothing of it is guessed."""
    with pytest.raises(EvidenceError):
        backups.place(document)
    with pytest.raises(EvidenceError) as caught:
        _ = holder(findmnt=Answer("findmnt", 1, "", "")).place
    assert caught.value.kind is FailureKind.GARBLED
