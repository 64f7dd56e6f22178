"""Tests the facts about a host as a machine: memory, load, file systems, clock, kernel."""

from __future__ import annotations

import subprocess

import pytest

from sigsrv.collect import probes
from sigsrv.collect.evidence import Answer, Evidence, Failure
from sigsrv.facts import filesystems, machine, sshd
from sigsrv.facts.filesystems import Filesystem
from sigsrv.facts.machine import MachineFacts, Skew
from sigsrv.model.errors import EvidenceError, FailureKind
from tests.namespaces import needs_root

GIB = 1024**3
HEADER = "Filesystem              Type        1B-blocks        Used       Avail   Inodes  IUsed Mounted on\n"
ROOT = "/dev/vda                ext4     270553174016 25332908032 83611385856 16777216 437410 /\n"
UNREADABLE = ["", "[]", "{}", "null", "Permission denied"]


def of(**answers: Answer | str) -> MachineFacts:
    by_probe = {
        name.replace("_", "-"): Answer(name, 0, answer) if isinstance(answer, str) else answer
        for name, answer in answers.items()
    }
    return MachineFacts(Evidence("minisrv", 0.0, probes=by_probe))


def fs(source: str, kind: str, used: int, available: int, target: str) -> Filesystem:
    return Filesystem(source, kind, used, available, 0, 0, target)


def test_memory_and_load_come_from_the_kernel():
    """Sizes become bytes. The load is the average over 15 minutes."""
    found = machine.memory(
        "MemTotal:       24684084 kB\nMemFree: 1 kB\nMemAvailable:   23968356 kB\nHugePages_Total:  0\n"
    )

    assert (found.total, found.available) == (24684084 * 1024, 23968356 * 1024)
    assert machine.load15("3.74 1.34 0.96 2/277 830\n") == 0.96


def test_a_cache_below_its_minimum_has_no_reclaimable_memory():
    """ZFS always keeps c_min bytes of its cache. The reclaimable size is never negative."""
    header = "9 1 0x01 147 39984 1 2\nname                            type data\n"

    assert (
        machine.arc_reclaimable(f"{header}size                            4    3000000000\nc_min 4 1000000000\n")
        == 2 * 10**9
    )
    assert machine.arc_reclaimable(f"{header}size 4 3\nc_min 4 1000000000\n") == 0


def test_a_mount_point_keeps_its_blanks():
    """Of the other columns, only the source may contain blanks."""
    row = "//server/my share       cifs     1000 400 600 0 0 /srv/my 1 2 3 4 5 share\n"
    found = filesystems.filesystems(HEADER + ROOT + row)[1]

    assert (found.source, found.kind, found.target) == ("//server/my share", "cifs", "/srv/my 1 2 3 4 5 share")
    assert (found.used, found.available) == (400, 600)


def test_each_device_is_judged_once_and_temporary_file_systems_are_left_out():
    """Leaves out memory, images and file systems of pools. A device with two mounts has the mount nearest to the root."""
    rows = (
        fs("tmpfs", "tmpfs", 9, 0, "/run"),
        fs("/dev/loop1", "squashfs", 9, 0, "/snap/core/1"),
        fs("/dev/sda2", "btrfs", 4, 6, "/home"),
        fs("/dev/sda2", "btrfs", 4, 6, "/"),
        fs("/dev/sdb1", "ext4", 4, 6, "/var/lib/incus/storage-pools/hdd"),
        fs("/dev/sdc1", "ext4", 4, 6, "/var/lib/incus"),
    )

    assert [row.target for row in filesystems.judged(rows)] == ["/", "/var/lib/incus"]


def test_the_datasets_of_a_zfs_pool_count_as_one_file_system():
    """The used bytes add up, including those of instances. A dataset with a quota counts separately."""
    rows = (
        fs("rpool/root", "zfs", 20, 50, "/"),
        fs("rpool/home", "zfs", 900, 50, "/home"),
        fs("rpool/incus/web", "zfs", 30, 50, "/var/lib/incus/storage-pools/nvme/containers/web"),
        fs("rpool/small", "zfs", 9, 1, "/small"),
        fs("tank/data", "zfs", 10, 90, "/data"),
    )

    assert [(row.target, row.used, row.available) for row in filesystems.judged(rows)] == [
        ("/", 950, 50),
        ("/data", 10, 90),
        ("/small", 9, 1),
    ]


def test_a_file_system_that_df_could_not_read_is_reported():
    """File systems of instances and of user sessions are left out. Any other message of df is an error."""
    stderr = "df: /mnt/x: Permission denied\ndf: '/a b': Input/output error\ndf: /run/user/7/doc: Permission denied"

    assert filesystems.refused(stderr) == {"/mnt/x": "Permission denied", "/a b": "Input/output error"}
    with pytest.raises(EvidenceError, match="no file systems processed"):
        filesystems.refused("df: no file systems processed")


@pytest.mark.parametrize(
    ("begin", "end", "skew", "nearest"),
    [
        ("1000000000.250000000", "1000000000.750000000\n", (-0.25, 0.25), 0.0),
        ("1000000003.250000000", "1000000003.750000000\n", (2.75, 3.25), 2.75),
        ("0999999990.250000000", "0999999990.750000000\n", (-10.25, -9.75), 9.75),
    ],
)
def test_the_deviation_of_a_clock_lies_between_two_bounds(begin, end, skew, nearest):
    """The host reads its clock for the first time after our first reading, and for the last time before our last."""
    found = machine.skew(begin, end, (1000000000.0, 1000000001.0))

    assert found == Skew(*skew)
    assert found.nearest == nearest


def test_a_clock_that_was_set_during_the_scan_is_an_error():
    """More time passed on the host than here, so one of the two clocks was set."""
    with pytest.raises(EvidenceError, match="was set while"):
        machine.skew("1000000000.500000000", "1000000003.500000000", (1000000000.0, 1000000001.0))


def test_os_release_is_read_by_the_rules_of_a_shell():
    """Values may be quoted. A derivative names its parents in ID_LIKE."""
    found = machine.os_release('# a comment\nPRETTY_NAME="Linux Mint 22"\nID=linuxmint\nID_LIKE="ubuntu debian"\n')

    assert (found.id, found.name) == ("linuxmint", "Linux Mint 22")
    assert found.is_any("debian")
    assert not found.is_any("nixos")


@pytest.mark.parametrize(
    ("lines", "codename"),
    [
        ("ID=debian\nVERSION_CODENAME=trixie\n", "trixie"),
        ("ID=linuxmint\nVERSION_CODENAME=wilma\nUBUNTU_CODENAME=noble\n", "noble"),
        ("ID=linuxmint\nDEBIAN_CODENAME=bookworm\nVERSION_CODENAME=faye\n", "bookworm"),
        ("ID=debian\nVERSION_CODENAME=\n\n", ""),
    ],
)
def test_the_codename_is_that_of_the_release_that_the_packages_come_from(lines, codename):
    """A derivative names its own release and the release that it is based on. The second one counts."""
    assert machine.os_release(lines).codename == codename


@needs_root
def test_only_online_cpus_are_counted(tmp_path):
    """Runs the probe on this machine with a kernel file that lists one CPU as online."""
    (command,) = [each.shell for each in probes.TABLE if each.id == "cpus"]
    (tmp_path / "online").write_text("0\n")
    script = f"mount --bind {tmp_path}/online /sys/devices/system/cpu/online && exec {command}"
    done = subprocess.run(["unshare", "-m", "sh", "-c", script], capture_output=True, text=True, check=True)

    assert of(cpus=done.stdout).cpus == 1


@pytest.mark.parametrize(
    "view",
    [
        machine.memory,
        machine.arc_reclaimable,
        machine.load15,
        filesystems.filesystems,
        machine.os_release,
        sshd.settings,
        sshd.match_blocks,
    ],
)
@pytest.mark.parametrize("text", UNREADABLE)
def test_unreadable_output_is_an_error(view, text):
    """No view returns a default for missing output."""
    with pytest.raises(EvidenceError):
        view(text)


@pytest.mark.parametrize(
    ("view", "text"),
    [
        (machine.memory, "MemTotal: 1 kB\nMemAvailable: 2 kB\n"),
        (machine.memory, "MemTotal: 0 kB\nMemAvailable: 0 kB\n"),
        (machine.memory, "MemTotal: 5 MB\nMemAvailable: 2 MB\n"),
        (machine.arc_reclaimable, "size 4 100\n"),
        (machine.load15, "0.1 0.2 0.3\n"),
        (filesystems.filesystems, HEADER),
        (filesystems.filesystems, HEADER + ROOT.replace(" /\n", " /var\n")),
        (filesystems.filesystems, HEADER + ROOT + "half a line\n"),
        (filesystems.filesystems, HEADER + ROOT + "/dev/sdb ext4 - - - - - /srv\n"),
        (filesystems.filesystems, HEADER + ROOT + "/dev/sdb ext4 0 0 0 0 0 /srv\n"),
        (machine.os_release, 'ID="debian\n'),
        (machine.os_release, "ID=\n"),
        (machine.os_release, "ID=debian\nVERSION_CODEN"),
        (
            sshd.settings,
            "permitrootlogin\npasswordauthentication no\nkbdinteractiveauthentication no\npermitemptypasswords no\n",
        ),
    ],
)
def test_an_incomplete_answer_is_an_error(view, text):
    """Covers output that is cut off, contradicts itself or has no sizes."""
    with pytest.raises(EvidenceError):
        view(text)


def test_a_missing_kernel_file_means_that_apparmor_or_zfs_is_absent():
    """A missing file is an answer. A file that may not be read is an error."""
    absent = Answer("cat", 1, "", "cat: x: No such file or directory")
    refused = Answer("cat", 1, "", "cat: x: Permission denied")

    assert of(apparmor=absent).apparmor is False
    assert of(arcstats=absent).arc_reclaimable == 0
    for name, view in (
        ("apparmor", "apparmor"),
        ("arcstats", "arc_reclaimable"),
        ("dmesg-restrict", "dmesg_restricted"),
    ):
        with pytest.raises(EvidenceError, match="Permission denied"):
            getattr(of(**{name: refused}), view)


@pytest.mark.parametrize(
    ("view", "name", "output"),
    [
        ("apparmor", "apparmor", "y\n"),
        ("dmesg_restricted", "dmesg-restrict", "2\n"),
        ("cpus", "cpus", "0\n"),
        ("cpus", "cpus", "two\n"),
        ("synchronized", "time-sync", "NTPSynchronized=perhaps\n"),
        ("synchronized", "time-sync", ""),
    ],
)
def test_an_unexpected_value_is_an_error(view, name, output):
    """A value that is neither yes nor no does not count as an answer."""
    with pytest.raises(EvidenceError):
        getattr(of(**{name: output}), view)


def test_only_the_message_of_systemd_means_that_the_host_does_not_run_systemd():
    """Any other failure of timedatectl is an error."""
    assert of(time_sync="NTPSynchronized=yes\nNTP=no\n").synchronized is True
    assert of(time_sync=Answer("t", 1, "", "System has not been booted with systemd as init")).synchronized is None
    with pytest.raises(EvidenceError, match="timed out"):
        _ = of(time_sync=Answer("t", 1, "", "Failed to query server: Connection timed out")).synchronized


@pytest.mark.parametrize(
    "answer",
    [
        Answer("df", 1, "", "sudo: a password is required"),
        Answer("df", 1, HEADER + ROOT, ""),
        Answer("df", 0, HEADER + ROOT, "df: /x: Permission denied"),
        Answer("df", 2, HEADER + ROOT, "df: /x: Permission denied"),
        Answer("df", failure=Failure(FailureKind.TIMEOUT, "no end in 5 s")),
    ],
)
def test_any_other_failure_of_df_is_an_error(answer):
    """The exit status and the messages of df must fit together."""
    with pytest.raises(EvidenceError):
        _ = of(filesystems=answer).filesystems


def test_evidence_without_the_times_of_its_probes_gives_no_clock_skew():
    """Older evidence does not contain these times."""
    facts = of(clock_begin="1000000000.250000000\n", clock_end="1000000000.750000000\n")

    with pytest.raises(EvidenceError, match="does not say when") as caught:
        _ = facts.skew

    assert caught.value.kind is FailureKind.ABSENT
