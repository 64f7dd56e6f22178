"""Tests what sigsrv opens as trusted: the whole path belongs to root or to this account, and nobody else may write to it."""

from __future__ import annotations

import grp
import os
import pwd
import stat
import struct
from pathlib import Path

import pytest

from sigsrv.model import trusted
from sigsrv.model.errors import UsageError

OTHER = 4_000_001  # no account of any machine
root = pytest.mark.skipif(os.geteuid() != 0, reason="only root can make files of other accounts")


@pytest.fixture
def folder(tmp_path):
    found = tmp_path / "a" / "state"
    found.mkdir(parents=True)
    for each in (found, found.parent):
        each.chmod(0o755)
    (found / "file").write_text("text")
    (found / "file").chmod(0o644)
    return found


def test_new_file_and_its_folders_are_private(tmp_path):
    """Their modes do not depend on the umask."""
    path = tmp_path / "x" / "y" / "file"
    before = os.umask(0)
    try:
        os.close(trusted.open_private(path))
    finally:
        os.umask(before)

    modes = [stat.S_IMODE(each.stat().st_mode) for each in (path, path.parent, path.parent.parent)]
    assert modes == [0o600, 0o700, 0o700]


def test_trusted_file_is_read(folder):
    """Everybody may read it: only writing matters."""
    trusted.check_file(folder / "file")
    trusted.check_private(folder / "file")
    assert trusted.folder(folder) == folder


WRITABLE = [("a", 0o777), ("a", 0o757), ("a/state", 0o702), ("a/state", 0o1777), ("a/state/file", 0o646)]


@pytest.mark.parametrize(("part", "mode"), WRITABLE)
def test_path_that_others_may_write_is_refused(tmp_path, folder, part, mode):
    """The error names the file, the part of the path that is wrong, its owner and its mode, and what to do."""
    wrong = tmp_path / part
    wrong.chmod(mode)

    with pytest.raises(UsageError) as error:
        trusted.check_private(folder / "file")

    name = pwd.getpwuid(os.geteuid()).pw_name
    assert error.value.message.startswith(f"{folder / 'file'} is not trusted: ")
    assert (
        f"can be written by other accounts (owner {name} (uid {os.geteuid()}), mode {mode:04o})" in error.value.message
    )
    assert str(wrong) in error.value.message
    assert ("chmod go-w" in error.value.hint) is not bool(mode & 0o1000)


def test_folder_like_tmp_may_be_above(tmp_path, folder):
    """In a folder with the sticky bit, nobody can rename or remove what belongs to somebody else."""
    (tmp_path / "a").chmod(0o1777)

    trusted.check_file(folder / "file")


@pytest.mark.parametrize("call", [trusted.open_private, trusted.check_private, trusted.check_file])
def test_file_that_is_a_link_is_refused(folder, call):
    """It may lead to any file. A link to nothing would create one there."""
    target = folder.parent / "target"
    for exists in (False, True):
        (folder / "link").unlink(missing_ok=True)
        (folder / "link").symlink_to(target)
        if exists:
            target.write_text("kept")
        with pytest.raises(UsageError, match=r"link is not trusted: it is a link \(owner .*, mode 0777\)"):
            call(folder / "link")
        assert target.exists() is exists
    assert target.read_text() == "kept"


def test_folder_of_a_private_file_is_no_link(folder):
    """A link above it is followed if it is this account's, in a folder that nobody else may write."""
    (folder.parent / "link").symlink_to(folder)
    (folder.parent.parent / "up").symlink_to("a")

    with pytest.raises(UsageError, match="link is a link"):
        trusted.check_private(folder.parent / "link" / "file")
    trusted.check_private(folder.parent.parent / "up" / "state" / "file")
    trusted.check_file(folder.parent / "link" / ".." / "state" / "file")


def test_link_in_a_folder_like_tmp_is_refused(folder):
    """Somebody else may put such a link there, and the sticky bit protects it."""
    (folder.parent / "link").symlink_to(folder)
    folder.parent.chmod(0o1777)

    with pytest.raises(UsageError, match="link is a link in a folder that other accounts may write"):
        trusted.check_file(folder.parent / "link" / "file")


def test_links_in_a_circle_are_an_error(tmp_path):
    """The walk ends, as that of the kernel does."""
    (tmp_path / "x").symlink_to("y")
    (tmp_path / "y").symlink_to("x")

    with pytest.raises(OSError, match="Too many levels"):
        trusted.check_file(tmp_path / "x" / "file")


def test_pipe_is_refused_and_does_not_block(folder):
    """Opening a pipe would wait for its other end."""
    os.mkfifo(folder / "pipe", 0o600)

    with pytest.raises(UsageError, match="it is not a file"):
        trusted.check_file(folder / "pipe")


@root
@pytest.mark.parametrize("part", ["a", "a/state", "a/state/file"])
def test_path_that_belongs_to_another_account_is_refused(tmp_path, folder, part):
    """Its owner can change its mode at any time, so the mode does not matter."""
    os.chown(tmp_path / part, OTHER, OTHER)

    with pytest.raises(UsageError, match=rf"belongs to another account \(owner unknown \(uid {OTHER}\), mode 0[67]"):
        trusted.check_file(folder / "file")


@root
def test_link_of_another_account_is_refused(folder):
    """Its owner decides where it leads."""
    (folder.parent / "link").symlink_to(folder)
    os.chown(folder.parent / "link", OTHER, OTHER, follow_symlinks=False)

    with pytest.raises(UsageError, match="link belongs to another account"):
        trusted.check_file(folder.parent / "link" / "file")


@root
def test_root_reads_files_of_root_and_of_the_account_that_called_sudo(folder, monkeypatch):
    """It refuses those of any other account. For its journal and its runs, that of sudo is one too."""
    path = folder / "file"
    trusted.check_for_root(path)
    os.chown(path, OTHER, OTHER)

    for caller in ("", "0", "nobody", str(OTHER + 1)):
        monkeypatch.setenv("SUDO_UID", caller)
        with pytest.raises(UsageError, match="belongs to another account"):
            trusted.check_for_root(path)
    monkeypatch.setenv("SUDO_UID", str(OTHER))
    trusted.check_for_root(path)
    with pytest.raises(UsageError, match="belongs to another account"):
        trusted.check_file(path)


def test_site_file_of_another_account_is_read_by_others_than_root(folder, monkeypatch):
    """In a shared checkout it is normal, and this account can lose no more than it has."""
    monkeypatch.setattr(os, "geteuid", lambda: 4_000_000)
    (folder / "file").chmod(0o666)

    trusted.check_for_root(folder / "file")


def test_missing_file_is_left_to_its_reader(tmp_path):
    """The reader says which file is missing."""
    trusted.check_for_root(tmp_path / "nothing" / "here")
    with pytest.raises(FileNotFoundError):
        trusted.check_file(tmp_path / "nothing" / "here")


def account(name: str, uid: int, gid: int) -> pwd.struct_passwd:
    return pwd.struct_passwd((name, "x", uid, gid, "", "/", "/bin/sh"))


GROUPS = [
    ("me", "me", [], [], True),
    ("me", "me", ["me"], [], True),
    ("me", "me", ["bob"], [], False),  # a member
    ("me", "staff", [], [], False),  # another name
    ("me", "me", [], [account("bob", 7, 77)], False),  # the main group of another account too
]


@pytest.mark.parametrize(("name", "group", "members", "others", "is_private"), GROUPS)
def test_only_the_private_group_of_an_account_may_write(folder, monkeypatch, name, group, members, others, is_private):
    """Debian makes such groups: with umask 002, files of an account can be written by a group with nobody else in it."""
    me = account(name, os.geteuid(), 77)
    gid = (folder / "file").stat().st_gid
    me, others = account(name, os.geteuid(), gid), [account(each.pw_name, each.pw_uid, gid) for each in others]
    monkeypatch.setattr(pwd, "getpwuid", lambda uid: me)
    monkeypatch.setattr(pwd, "getpwall", lambda: [me, *others])
    monkeypatch.setattr(grp, "getgrgid", lambda number: grp.struct_group((group, "x", number, members)))
    (folder / "file").chmod(0o664)

    if is_private:
        trusted.check_file(folder / "file")
    else:
        with pytest.raises(UsageError, match="can be written by other accounts"):
            trusted.check_file(folder / "file")


def test_access_list_counts_as_others(folder, monkeypatch):
    """With one, the bits of the group are those of everybody in the list."""
    monkeypatch.setattr(trusted, "_is_private", lambda gid, uid: True)
    (folder / "file").chmod(0o664)
    trusted.check_file(folder / "file")
    # Version 2: each entry has a tag, rights and an id. The owner, uid 1, the group, the mask and others (acl_ea.h of Linux).
    entries = [(0x01, 6, -1), (0x02, 6, 1), (0x04, 6, -1), (0x10, 6, -1), (0x20, 4, -1)]
    try:
        os.setxattr(
            folder / "file",
            "system.posix_acl_access",
            struct.pack("<I", 2) + b"".join(struct.pack("<HHi", *each) for each in entries),
        )
    except OSError:
        pytest.skip("this file system has no access lists")

    with pytest.raises(UsageError, match="can be written by other accounts"):
        trusted.check_file(folder / "file")


def test_owner_of_the_program_is_trusted():
    """That account decides what the program does. In a container, root often runs a checkout of another account."""
    mine = Path(trusted.__file__).stat().st_uid

    assert trusted._own_accounts() == {0, os.geteuid(), mine}
