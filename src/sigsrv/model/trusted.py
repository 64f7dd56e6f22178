"""Opens what sigsrv trusts: the journal, locks and runs; for root also the site file and the waivers.

Their content decides what sigsrv runs as root on hosts, and what it no longer reports. So the whole path must be closed to other
accounts. Each folder on it and the file itself belong to root or to this account (or to the owner of the program), and nobody else
may write to them. The path is walked from the root folder, one component after the other, and each one is opened relative to the one
before (openat(2)). A path that passes cannot be changed by anybody else afterwards, so a library may open it by its name.
"""

from __future__ import annotations

import contextlib
import errno
import grp
import os
import pwd
import stat
from collections.abc import Iterator
from pathlib import Path

from sigsrv.model.errors import UsageError

_MAX_LINKS = 40  # as in path_resolution(7)
_LOOK = os.O_PATH | os.O_NOFOLLOW | os.O_CLOEXEC


def folder(path: Path, make: bool = False) -> Path:
    """Check a folder, and return its absolute path. It is no link, and other accounts may not even add files to it.

    make: make it, and the folders above it, with mode 0700 if they are missing. Raises UsageError if it is not trusted, and OSError.
    """
    with _walked(path, _own_accounts(), make=make, closed=True, real=True) as (absolute, _):
        return absolute


def check_private(path: Path) -> None:
    """Check a file in a ``folder``. Raises FileNotFoundError; UsageError if it is not trusted; OSError."""
    os.close(_opened(path, os.O_PATH))


def open_private(path: Path) -> int:
    """Open a file in a ``folder`` for reading and writing; return its descriptor. Create it with mode 0600 if it is missing.

    Raises UsageError if it is not trusted, and OSError.
    """
    return _opened(path, os.O_RDWR, create=True)


def check_file(path: Path) -> None:
    """Check a file that sigsrv wrote. It is no link; links of root and of this account on the way to it are followed.

    Raises FileNotFoundError, UsageError if it is not trusted, and OSError.
    """
    os.close(_opened(path, os.O_PATH, private=False))


def check_for_root(path: Path) -> None:
    """Check a file that root reads, such as the waivers. For other accounts it does nothing: they can lose no more than they have.

    The file may also belong to the account that called sudo. Links of trusted owners are followed. Raises UsageError.
    """
    if os.geteuid() == 0:
        with contextlib.suppress(OSError), _walked(path, _own_accounts() | _sudo_account()):
            pass  # the reader of the file reports that it is missing


def _own_accounts() -> frozenset[int]:
    """Return the accounts whose files are trusted: root, this account, and the owner of this program, who decides what it does anyway."""
    return frozenset({0, os.geteuid(), Path(__file__).stat().st_uid})


def _sudo_account() -> frozenset[int]:
    caller = os.environ.get("SUDO_UID", "")
    return frozenset({int(caller)}) if caller.isascii() and caller.isdigit() else frozenset()


def _opened(path: Path, flags: int, create: bool = False, private: bool = True) -> int:
    """Return the descriptor of a checked file. private: its folder is one that ``folder`` accepts."""
    accounts = _own_accounts()
    flags |= os.O_NOFOLLOW | os.O_CLOEXEC | os.O_NONBLOCK  # opening a pipe must not block
    with _walked(path.parent, accounts, create, closed=private, real=private, wanted=path) as (parent, at):
        try:
            status = os.stat(path.name, dir_fd=at, follow_symlinks=False)
            _check(path, parent / path.name, status, accounts, is_folder=False)
            handle = os.open(path.name, flags, dir_fd=at)
        except FileNotFoundError:
            if not create:
                raise
            handle = os.open(path.name, flags | os.O_CREAT | os.O_EXCL, 0o600, dir_fd=at)
        try:
            _check(path, parent / path.name, os.fstat(handle), accounts, is_folder=False)
        except BaseException:
            os.close(handle)
            raise
        return handle


@contextlib.contextmanager
def _walked(
    path: Path,
    accounts: frozenset[int],
    make: bool = False,
    closed: bool = False,
    real: bool = False,
    wanted: Path | None = None,
) -> Iterator[tuple[Path, int]]:
    """Yield the absolute path and the descriptor of its last component, after each component was checked.

    make: make missing folders. closed: the last component is a folder to which nobody else may add files; /tmp is not. real: it is no
    link. wanted: the path that errors name.
    """
    wanted = wanted or path
    absolute = path.absolute()  # with its "..": they are walked as the kernel does
    todo = list(reversed(absolute.parts[1:]))
    at, shown, links = os.open("/", _LOOK | os.O_DIRECTORY), Path("/"), 0
    try:
        _check(wanted, shown, os.fstat(at), accounts, closed=closed and not todo)
        while todo:
            name = todo.pop()
            below = _looked_at(name, at, make)
            status = os.fstat(below)
            if stat.S_ISLNK(status.st_mode) and (todo or not real):
                try:
                    _check_link(wanted, shown / name, status, os.fstat(at), accounts)
                    target = os.readlink("", dir_fd=below)
                finally:
                    os.close(below)
                links += 1
                if links > _MAX_LINKS:
                    raise OSError(errno.ELOOP, os.strerror(errno.ELOOP), str(wanted))
                todo += reversed([part for part in target.split("/") if part not in ("", ".")])
                if target.startswith("/"):
                    os.close(at)
                    at, shown = os.open("/", _LOOK | os.O_DIRECTORY), Path("/")
                continue
            os.close(at)
            at, shown = below, Path(os.path.normpath(shown / name))
            _check(wanted, shown, status, accounts, is_folder=bool(todo) or closed, closed=closed and not todo)
        yield absolute, at
    finally:
        os.close(at)


def _looked_at(name: str, at: int, make: bool) -> int:
    """Return a descriptor of a file, folder or link in the folder ``at``, which gives only its status."""
    try:
        return os.open(name, _LOOK, dir_fd=at)
    except FileNotFoundError:
        if not make:
            raise
        os.mkdir(name, 0o700, dir_fd=at)
        return os.open(name, _LOOK, dir_fd=at)


def _check(
    path: Path, at: Path, status: os.stat_result, accounts: frozenset[int], is_folder: bool = True, closed: bool = False
) -> None:
    """Raise UsageError if a file or folder on a path is a link, belongs to another account, or if others may write it.

    closed: also refuse a folder with the sticky bit, in which everybody may make files.
    """
    if stat.S_ISLNK(status.st_mode):
        raise _refused(path, at, status, "is a link", "put a real file or folder there")
    if is_folder and not stat.S_ISDIR(status.st_mode):
        raise NotADirectoryError(errno.ENOTDIR, os.strerror(errno.ENOTDIR), str(at))
    if not is_folder and not stat.S_ISREG(status.st_mode) and not stat.S_ISDIR(status.st_mode):
        raise _refused(path, at, status, "is not a file", "put a real file there")
    _check_owner(path, at, status, accounts)
    sticky = is_folder and not closed and status.st_mode & stat.S_ISVTX
    if _others_may_write(at, status, accounts) and not sticky:
        own = "only you and root may write there: name a folder of your own"
        hint = own if status.st_mode & stat.S_ISVTX else f"{own}, or run chmod go-w {at}"
        raise _refused(path, at, status, "can be written by other accounts", hint)


def _check_owner(path: Path, at: Path, status: os.stat_result, accounts: frozenset[int]) -> None:
    if status.st_uid not in accounts:
        me = _name(os.geteuid())
        who = "root" if me == "root" else f"root or {me}"
        hint = f"it must belong to {who}: name another place, or after you checked it run chown {me} {at}"
        raise _refused(path, at, status, "belongs to another account", hint)


def _check_link(path: Path, at: Path, status: os.stat_result, parent: os.stat_result, accounts: frozenset[int]) -> None:
    """Raise UsageError if somebody else could have put the link there."""
    _check_owner(path, at, status, accounts)
    if _others_may_write(at.parent, parent, accounts):
        reason = "is a link in a folder that other accounts may write"
        raise _refused(path, at, status, reason, "name the place that it leads to")


def _others_may_write(at: Path, status: os.stat_result, accounts: frozenset[int]) -> bool:
    if status.st_mode & stat.S_IWOTH:
        return True
    return bool(status.st_mode & stat.S_IWGRP) and not (
        any(_is_private(status.st_gid, uid) for uid in accounts) and not _has_access_list(at)
    )


def _is_private(gid: int, uid: int) -> bool:
    """Report whether a group is the private group of an account: it has its name, and no other account is in it.

    Debian gives each account such a group, and with umask 002 its files can be written by the group.
    """
    try:
        account, group = pwd.getpwuid(uid), grp.getgrgid(gid)
    except KeyError:  # no such account or group
        return False
    others = [each.pw_name for each in pwd.getpwall() if each.pw_gid == gid and each.pw_uid != uid]
    return (
        account.pw_gid == gid
        and group.gr_name == account.pw_name
        and set(group.gr_mem) <= {account.pw_name}
        and not others
    )


def _has_access_list(at: Path) -> bool:
    """Report whether an access list may give more accounts the right of the group (acl(5))."""
    try:
        return "system.posix_acl_access" in os.listxattr(at, follow_symlinks=False)
    except OSError:  # the file system has none
        return False


def _refused(path: Path, at: Path, status: os.stat_result, reason: str, hint: str) -> UsageError:
    mode = stat.S_IMODE(status.st_mode)
    owner = f"owner {_name(status.st_uid)} (uid {status.st_uid}), mode {mode:04o}"
    where = "it" if at == path else f"{at}"
    return UsageError(f"{path} is not trusted: {where} {reason} ({owner})", hint)


def _name(uid: int) -> str:
    try:
        return pwd.getpwuid(uid).pw_name
    except KeyError:
        return "unknown"
