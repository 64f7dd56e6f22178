"""Arms a fix on the other members of a cluster that it takes effect on: each of them would undo it, if the first one could not.

The undo of such a fix asks Incus, so any member can run it. It writes an old value only where the value is what the fix left: the
member that comes second finds nothing to undo.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass

from sigsrv.collect.connection import open_session
from sigsrv.collect.session import ConnectionFailed, Session
from sigsrv.collect.target import Target
from sigsrv.remediate.remote import RemoteFix
from sigsrv.remediate.shell import CommandResult, Notify


@dataclass(frozen=True)
class Member:
    """Another member: how to reach it, and the fix as it is armed there."""

    target: Target
    remote: RemoteFix


class OtherMembers:
    """The other members that a fix takes effect on. members: by host name."""

    def __init__(self, members: Mapping[str, Member], notify: Notify) -> None:
        self._members = members
        self._notify = notify

    def __bool__(self) -> bool:
        return bool(self._members)

    def arm(self, old_values: str) -> str:
        """Arm the rollback on each member. old_values: of the first member. Return the problem; "" for none."""
        return self._until_problem(
            lambda member, session: member.remote.arm(session, old_values),
            "{} can't be reached to arm the rollback",
            "the rollback could not be armed on {}",
        )

    def confirm(self) -> str:
        """Let each member keep the change. Return the problem; "" for none."""
        return self._until_problem(
            lambda member, session: member.remote.confirm(session),
            "{} can't be reached to confirm the change",
            "{} did not confirm the change",
        )

    def _until_problem(self, call: Callable[[Member, Session], CommandResult], unreachable: str, failed: str) -> str:
        """Make a call on one member after the other. Return the first problem; "" for none. The texts have a place for the host's name."""
        for name, member in self._members.items():
            try:
                with open_session(member.target) as session:
                    result = call(member, session)
            except ConnectionFailed as cause:
                return f"{unreachable.format(name)}: {cause.failure.reason}"
            if result.rc != 0:
                return f"{failed.format(name)}: {result.reason}"
        return ""

    def undo(self) -> str:
        """Run what is left of the fix's undo on each member. Return the problem; "" for none."""
        problems = []
        for name, member in self._members.items():
            try:
                with open_session(member.target) as session:
                    result = member.remote.undo(session, self._notify)
            except ConnectionFailed as cause:
                problems.append(f"{name} can't be reached: {cause.failure.reason}")
                continue
            if result.rc != 0:
                problems.append(f"{name}: {result.reason}")
        return "; ".join(problems)
