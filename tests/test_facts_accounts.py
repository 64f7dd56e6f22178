"""Accounts, groups and packages of a host."""

from __future__ import annotations

import pytest

from sigsrv.collect.evidence import Answer, Evidence
from sigsrv.errors import EvidenceError, FailureKind
from sigsrv.facts import HostFacts
from sigsrv.facts.accounts import Membership, Socket, groups, own_groups, socket
from sigsrv.facts.packages import installed, is_older

GROUPS = "root:x:0:\nincus:x:995:alice\nincus-admin:x:994:root,ops\nold-admin:x:994:bob\n"
PASSWD = "root:x:0:994:root:/root:/bin/bash\nops:x:1000:1000::/home/ops:/bin/sh\ncarol:x:1001:994:C:/home/c:/bin/sh\n"


def host(**answers: Answer) -> HostFacts:
    probes = {"groups": Answer("getent group", 0, GROUPS), "passwd": Answer("getent passwd", 0, PASSWD)}
    return HostFacts("h", "h", Evidence("h", 0.0, probes=probes | {k.replace("_", "-"): v for k, v in answers.items()}))


def test_members_are_those_listed_and_those_whose_own_group_it_is():
    """Also by a second group of the same number: the kernel knows numbers alone. root is no member."""
    assert host().accounts.members("incus-admin") == Membership(("bob", "ops"), ("carol",))
    assert host().accounts.members("incus-admin").all == ("bob", "carol", "ops")
    assert host().accounts.members("incus") == Membership(("alice",), ())


def test_a_group_that_is_not_there_has_no_members():
    """A host may have been set up without it."""
    assert host().accounts.members("wheel").all == ()


@pytest.mark.parametrize("document", ["", "{}", "root:x:0", "root:x:zero:", ":x:0:", "a:b:1:c:d", "Permission denied"])
def test_unreadable_groups_are_an_error(document):
    """A line that is not understood hides members."""
    with pytest.raises(EvidenceError, match="getent group"):
        groups(document)


@pytest.mark.parametrize("document", ["", "root:x:0:0:root:/root", "root:x:0:none:::", ":x:0:0:::", "[]"])
def test_unreadable_accounts_are_an_error(document):
    """A line that is not understood hides an account."""
    with pytest.raises(EvidenceError, match="getent passwd"):
        own_groups(document)


def test_the_socket_has_its_mode_owner_and_group():
    """As stat prints it, the mode in octal."""
    assert socket("660 root incus-admin\n") == Socket(0o660, "root", "incus-admin")
    for wrong in ("", "rw root root", "660 root", "888 root root", "{}"):
        with pytest.raises(EvidenceError, match="stat"):
            socket(wrong)


def test_a_socket_that_is_not_there_is_a_daemon_that_is_down():
    """What its mode would be is left to the policy that looks at the daemon."""
    missing = Answer("stat", 1, "", "stat: cannot statx '/var/lib/incus/unix.socket': No such file or directory")
    refused = Answer("stat", 1, "", "stat: cannot statx '/var/lib/incus/unix.socket': Permission denied")

    for answer, kind in ((missing, FailureKind.DOWN), (refused, FailureKind.DENIED)):
        with pytest.raises(EvidenceError) as caught:
            _ = host(socket_mode=answer).accounts.socket
        assert caught.value.kind is kind


def test_packages_that_are_not_installed_are_left_out():
    """Known and not installed, removed with its configuration left, held, half way through."""
    document = (
        "incus\t\tun \nincus-base\t6.0.4-2\tii \nincus-client\t6.0.4-2\trc \nincus-extra\t6.0.4-2\thi \nx\t1\tiU \n"
    )

    assert installed(document) == {"incus-base": "6.0.4-2", "incus-extra": "6.0.4-2", "x": "1"}
    assert installed("") == {}


@pytest.mark.parametrize("document", ["incus-base 6.0.4 ii", "{}", "incus-base\t\tii ", "incus-base\t6.0.4-2\t"])
def test_unreadable_packages_are_an_error(document):
    """A line that is not understood hides a version."""
    with pytest.raises(EvidenceError, match="dpkg-query"):
        installed(document)


def test_a_name_that_dpkg_does_not_know_is_a_package_that_is_not_there():
    """dpkg-query ends with 1 then, and tells of the others; any other complaint is an error."""
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
def test_versions_compare_as_debian_says(older, newer):
    """deb-version(7): epoch, upstream and revision; numbers as numbers, a tilde before everything."""
    assert is_older(older, newer)
    assert not is_older(newer, older)
    assert not is_older(older, older)
