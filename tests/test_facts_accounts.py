"""Accounts, groups and packages of a host."""

from __future__ import annotations

import os
import socket as sockets
import struct
import subprocess

import pytest

from sigsrv.collect import probes
from sigsrv.collect.evidence import Answer, Evidence, Failure
from sigsrv.facts.accounts import Membership, Socket, groups, has_acl, own_groups, socket
from sigsrv.facts.hosts import HostFacts
from sigsrv.facts.packages import installed, is_older
from sigsrv.model.errors import EvidenceError, FailureKind

GROUPS = "root:x:0:\nincus:x:995:alice\nincus-admin:x:994:root,ops\nold-admin:x:994:bob\n"
NAMED = "incus-admin:x:994:root,ops\n"
PASSWD = "root:x:0:994:root:/root:/bin/bash\nops:x:1000:1000::/home/ops:/bin/sh\ncarol:x:1001:994:C:/home/c:/bin/sh\n"


def host(**answers: Answer) -> HostFacts:
    by_probe = {"groups": Answer("getent group", 0, GROUPS), "passwd": Answer("getent passwd", 0, PASSWD)}
    by_probe["admin-group"] = Answer("getent group incus-admin", 0, NAMED)
    by_probe["user-group"] = Answer("getent group incus", 0, "incus:x:995:alice\n")
    return HostFacts(
        "h", "h", Evidence("h", 0.0, probes=by_probe | {k.replace("_", "-"): v for k, v in answers.items()})
    )


def test_members_are_the_listed_accounts_and_the_accounts_with_this_primary_group():
    """A second group with the same number counts too, because the kernel compares only numbers. root does not count."""
    assert host().accounts.members("incus-admin") == Membership(("bob", "ops"), ("carol",))
    assert host().accounts.members("incus-admin").all == ("bob", "carol", "ops")
    assert host().accounts.members("incus") == Membership(("alice",), ())


def test_a_group_that_does_not_exist_has_no_members():
    """A host may be set up without the group."""
    assert host().accounts.members("wheel").all == ()


def test_a_group_that_getent_does_not_list_is_found_by_its_name():
    """By default, SSSD lists no groups and no accounts. It shows the members only if getent asks for the group by name."""
    listed = Answer("getent group", 0, "root:x:0:\n")
    named = Answer("getent group incus-admin", 0, "incus-admin:*:1000:alice\n")

    found = host(groups=listed, admin_group=named).accounts

    assert found.members("incus-admin") == Membership(("alice",), ("ops",))
    assert found.knows("incus-admin")
    assert not host(groups=listed, user_group=Answer("getent group incus", 2)).accounts.knows("incus")


def test_each_group_of_incus_is_looked_up_by_its_own_name():
    """A lookup that fails costs only its own group. Another group is only in the list."""
    listed = Answer("getent group", 0, "root:x:0:\nwheel:x:1:ops\n")
    late = Answer("getent group incus", failure=Failure(FailureKind.TIMEOUT, "late"))

    found = host(groups=listed, user_group=late).accounts

    assert found.admins.listed == ("ops",)
    assert found.members("wheel").listed == ("ops",)
    with pytest.raises(EvidenceError, match="late"):
        assert found.users
    by_name = Answer("getent group incus", 0, "incus:*:1001:dave\n")
    assert host(groups=listed, user_group=by_name).accounts.users == Membership(("dave",), ())


def test_the_members_in_all_answers_are_members():
    """The host's own file and a directory may each have a group with this name and different members."""
    named = Answer("getent group incus-admin", 0, "incus-admin:*:5000:alice\n")

    assert host(admin_group=named).accounts.members("incus-admin") == Membership(("alice", "bob", "ops"), ("carol",))


def test_an_unknown_group_name_is_an_answer():
    """getent ends with exit status 2 then. The members from the list of all groups still count."""
    unknown = Answer("getent group incus-admin", 2)

    assert host(admin_group=unknown).accounts.members("incus-admin").listed == ("bob", "ops")
    assert not host(groups=Answer("g", 0, "root:x:0:\n"), admin_group=unknown).accounts.knows("incus-admin")


@pytest.mark.parametrize(
    "answer",
    [
        Answer("getent", 0, ""),
        Answer("getent", 0, "incus-admin:x"),
        Answer("getent", 1, "", "it broke"),
        Answer("getent", 2, "incus-admin:x:1:"),
        Answer("getent", failure=Failure(FailureKind.TIMEOUT, "no end in 5 s")),
    ],
)
def test_a_failed_request_for_a_group_by_name_is_an_error(answer):
    """The group may have members that the list of all groups does not show."""
    with pytest.raises(EvidenceError):
        host(admin_group=answer).accounts.members("incus-admin")


@pytest.mark.parametrize("document", ["", "{}", "root:x:0", "root:x:zero:", ":x:0:", "a:b:1:c:d", "Permission denied"])
def test_unreadable_groups_are_an_error(document):
    """A line that cannot be parsed may hide members."""
    with pytest.raises(EvidenceError, match="getent group"):
        groups(document)


@pytest.mark.parametrize("document", ["", "root:x:0:0:root:/root", "root:x:0:none:::", ":x:0:0:::", "[]"])
def test_unreadable_accounts_are_an_error(document):
    """A line that cannot be parsed may hide an account."""
    with pytest.raises(EvidenceError, match="getent passwd"):
        own_groups(document)


def test_the_socket_has_its_mode_owner_and_group():
    """stat prints the mode in octal."""
    assert socket("660 root incus-admin\n") == Socket(0o660, "root", "incus-admin")
    for wrong in ("", "rw root root", "660 root", "888 root root", "{}"):
        with pytest.raises(EvidenceError, match="stat"):
            socket(wrong)


def test_a_missing_socket_means_that_the_daemon_is_down():
    """The policy that checks the daemon reports this. A socket that stat may not read is denied."""
    missing = Answer("stat", 1, "", "stat: cannot statx '/var/lib/incus/unix.socket': No such file or directory")
    refused = Answer("stat", 1, "", "stat: cannot statx '/var/lib/incus/unix.socket': Permission denied")

    for answer, kind in ((missing, FailureKind.DOWN), (refused, FailureKind.DENIED)):
        with pytest.raises(EvidenceError) as caught:
            _ = host(socket_mode=answer).accounts.socket
        assert caught.value.kind is kind


LISTED = f"srw-rw---- 1 root incus-admin 0 Nov 18 01:00 {probes.SOCKET}\n"


def test_ls_shows_an_acl_as_a_plus_after_the_mode():
    """A dot at this place is an SELinux label, which gives no access."""
    assert has_acl(LISTED.replace("---- ", "----+ "))
    assert not has_acl(LISTED)
    assert not has_acl(LISTED.replace("---- ", "----. "))
    assert host(socket_acl=Answer("ls", 0, LISTED.replace("---- ", "----+ "))).accounts.socket_has_acl


@pytest.mark.parametrize(
    "document", ["", "{}", "total 0\n", LISTED[:30], LISTED.replace("srw", "lrw"), LISTED.replace("---- ", "----? ")]
)
def test_a_line_that_does_not_describe_a_socket_is_an_error(document):
    """It never means that the socket has no ACL."""
    with pytest.raises(EvidenceError, match="ls"):
        has_acl(document)


USER_LISTED = f"srw-rw---- 1 root incus 0 Nov 18 01:00 {probes.USER_SOCKET}\n"


@pytest.mark.parametrize(
    ("letters", "mode", "acl"),
    [
        ("rw-rw----", 0o660, False),
        ("rw-rw-rw-", 0o666, False),
        ("rw-rw----+", 0o660, True),
        ("rw-rw----.", 0o660, False),
        ("rwsr-Sr-T", 0o744, False),
        ("rwxrwxrwt", 0o777, False),
    ],
)
def test_socket_of_incus_user_is_read_from_one_line(letters, mode, acl):
    """The mode, the owner, the group and the sign of an ACL."""
    found = host(user_socket=Answer("ls", 0, USER_LISTED.replace("rw-rw----", letters))).accounts

    assert (found.user_socket, found.user_socket_has_acl) == (Socket(mode, "root", "incus"), acl)
    assert found.has_user_socket
    assert found.knows_user_socket_group


def test_host_without_incus_user_has_no_socket():
    """Only ls can say that there is none."""
    none = Answer("ls", 2, "", f"ls: cannot access '{probes.USER_SOCKET}': No such file or directory")
    found = host(user_socket=none).accounts

    assert not found.has_user_socket
    with pytest.raises(EvidenceError, match="does not exist"):
        assert found.user_socket
    with pytest.raises(EvidenceError):
        assert host(user_socket=Answer("ls", 2, "", "ls: Permission denied")).accounts.has_user_socket


@pytest.mark.parametrize(
    "document",
    ["", "{}", USER_LISTED[:30], USER_LISTED.replace("srw", "lrw"), USER_LISTED.replace(".user", ""), LISTED],
)
def test_line_of_another_file_is_no_socket_of_incus_user(document):
    with pytest.raises(EvidenceError, match=r"ls|cut off"):
        assert host(user_socket=Answer("ls", 0, document)).accounts.has_user_socket


@pytest.mark.skipif(not hasattr(os, "setxattr"), reason="needs Linux")
def test_the_socket_probe_shows_an_acl_that_the_mode_hides(tmp_path):
    """Runs ls on this machine: an ACL gives one account access, and the mode, owner and group stay the same."""
    path = tmp_path / "unix.socket"
    with sockets.socket(sockets.AF_UNIX) as listening:
        listening.bind(str(path))
        path.chmod(0o660)
        (listed,) = [each.command for each in probes.TABLE if each.id == "socket-acl"]

        def shows_an_acl():
            command = [str(path) if word == probes.SOCKET else word for word in listed]
            line = subprocess.run(command, capture_output=True, text=True, check=True).stdout
            return has_acl(line.replace(str(path), probes.SOCKET))

        assert not shows_an_acl()
        entries = [
            (0x01, 6, 0xFFFFFFFF),
            (0x02, 6, 12345),
            (0x04, 6, 0xFFFFFFFF),
            (0x10, 6, 0xFFFFFFFF),
            (0x20, 0, 0xFFFFFFFF),
        ]
        value = struct.pack("<I", 2) + b"".join(
            struct.pack("<HHI", *entry) for entry in entries
        )  # acl(5), in the kernel's format
        try:
            os.setxattr(path, "system.posix_acl_access", value)
        except OSError as cause:
            pytest.skip(f"this file system has no ACLs: {cause.strerror}")
        assert shows_an_acl()
        assert path.stat().st_mode & 0o777 == 0o660


def test_packages_that_are_not_installed_are_left_out():
    """Covers packages that are known but not installed, removed except for their configuration, held, and unpacked."""
    document = (
        "incus\t\tun \nincus-base\t6.0.4-2\tii \nincus-client\t6.0.4-2\trc \nincus-extra\t6.0.4-2\thi \nx\t1\tiU \n"
    )

    assert installed(document) == {"incus-base": "6.0.4-2", "incus-extra": "6.0.4-2", "x": "1"}
    assert installed("") == {}


@pytest.mark.parametrize("document", ["incus-base 6.0.4 ii", "{}", "incus-base\t\tii ", "incus-base\t6.0.4-2\t"])
def test_unreadable_packages_are_an_error(document):
    """A line that cannot be parsed may hide a version."""
    with pytest.raises(EvidenceError, match="dpkg-query"):
        installed(document)


def test_a_name_that_dpkg_does_not_know_is_a_package_that_is_not_installed():
    """dpkg-query ends with exit status 1 then, and still prints the other packages. Any other message is an error."""
    unknown = Answer("dpkg-query", 1, "incus-base\t6.0.4-2\tii \n", "dpkg-query: no packages found matching incus\n")
    broken = Answer("dpkg-query", 2, "", "dpkg-query: error: failed to open package info file")
    silent = Answer("dpkg-query", 1, "", "")

    assert host(packages=unknown).packages == {"incus-base": "6.0.4-2"}
    for answer in (broken, silent):
        with pytest.raises(EvidenceError):
            _ = host(packages=answer).packages


@pytest.mark.parametrize(
    ("older", "newer"),
    [
        ("6.0.4-2", "6.0.10-1"),
        ("6.0.4-2+deb13u7", "6.0.4-2+deb13u12"),
        ("6.0.4-2+deb13u7~bpo12+1", "6.0.4-2+deb13u7"),
        ("6.0.4~rc1-1", "6.0.4-1"),
        ("6.0.4", "6.0.4-1"),
        ("6.0.4-1", "6.0.4a-1"),
        ("6.0.4a", "6.0.4+"),
        ("9.9-1", "1:0.1-1"),
        ("1.0-1-1", "1.0-2-1"),
        ("1:1.0~~a", "1:1.0~"),
    ],
)
def test_versions_compare_by_the_rules_of_debian(older, newer):
    """deb-version(7) compares epoch, upstream version and revision. Numbers compare by value; a tilde sorts first."""
    assert is_older(older, newer)
    assert not is_older(newer, older)
    assert not is_older(older, older)
