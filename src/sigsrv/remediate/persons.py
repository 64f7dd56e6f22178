"""Distinguishes persons, for the approval of a plan: by the account that runs sigsrv or calls sudo, and by the login."""

from __future__ import annotations

import os
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from sigsrv.remediate.journal_rows import who

NO_LOGIN = -1  # the kernel knows none: a service, a container, or a kernel without audit
_LOGIN_UID = Path("/proc/self/loginuid")
_UNSET = 2**32 - 1


@dataclass(frozen=True)
class Person:
    """Who runs sigsrv. who: as the journal names it. uid: of the account. login_uid: of the login, which sudo and su keep; or NO_LOGIN."""

    who: str
    uid: int
    login_uid: int = NO_LOGIN

    def is_other(self, person: Person) -> bool:
        """Report whether this is certainly another person: another account, and another login where both are known."""
        logins = {self.login_uid, person.login_uid}
        return self.uid != person.uid and (NO_LOGIN in logins or len(logins) == 2)


def me() -> Person:
    """Return who runs this process. Under sudo, the account that called sudo."""
    uid, sudo_uid = os.getuid(), os.environ.get("SUDO_UID", "")
    if uid == 0 and sudo_uid.isascii() and sudo_uid.isdigit():
        uid = int(sudo_uid)
    login = _UNSET
    with suppress(OSError, ValueError):  # a kernel without audit has no such file
        login = int(_LOGIN_UID.read_text(encoding="ascii"))
    return Person(who(), uid, NO_LOGIN if login == _UNSET else login)
