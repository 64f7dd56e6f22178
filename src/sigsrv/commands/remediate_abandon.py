"""``sigsrv-remediate --abandon TRANSACTION``: frees a site that a rollback blocks because it can never succeed."""

from __future__ import annotations

from sigsrv.commands.remediate_ask import confirmed
from sigsrv.commands.remediate_show import field, paragraph, say, script, warn
from sigsrv.commands.terminal import COMPLIANT, FINDINGS
from sigsrv.remediate.abandoning import Abandoned, look, remove
from sigsrv.remediate.hosts import Hosts
from sigsrv.remediate.journal import Journal
from sigsrv.remediate.runs import Limits, Runner
from sigsrv.remediate.shell import Notify

_SHOWN = 20  # lines of an old value


def abandon(
    hosts: Hosts, journal: Journal, transaction: str, limits: Limits, only_plan: bool, sure: bool, notify: Notify
) -> int:
    """Show what is left of a transaction, ask, and remove it. Returns the exit status. Raises Refused.

    only_plan: remove nothing. sure: do not ask.
    """
    found = look(hosts, journal, transaction, limits.paths)
    for note in found.notes:
        warn(note)
    if not found.leftovers:
        say(f"{transaction}: nothing of it is left on a host")
        return FINDINGS if found.notes else COMPLIANT
    _show(found, str(journal.path))
    if only_plan:
        return COMPLIANT
    if not sure and not confirmed("remove all of this, and leave the change as it is?"):
        say("nothing was removed")
        return FINDINGS
    runner = Runner(hosts, journal, notify, limits)
    with runner.lock_hosts([], doing=f"abandons {transaction}") as locks:
        remove(hosts, journal, found, locks, limits.reason, notify)
    say(f"abandoned: {transaction}. What it changed stays: check it, and scan")
    return FINDINGS if found.notes else COMPLIANT


def _show(found: Abandoned, journal: str) -> None:
    entry = found.entry
    say(f"transaction {found.transaction}")
    if entry:
        field("fix", f"{entry.remediation} on {entry.host} for {entry.finding}, by {entry.who}")
        field("ended", f"{entry.end}: {entry.detail}" if entry.detail else entry.end)
    else:
        field("fix", f"unknown: {journal} does not have this transaction")
    for leftover in found.leftovers:
        for file in leftover.files:
            field("removes", f"{file} on {leftover.host}")
    field("keeps", "the change itself, as it is now. Nothing of it is undone, and no timer undoes it later")
    for leftover in found.leftovers:
        for name, content in leftover.old_values:
            lines = content.decode("utf-8", "replace").splitlines()
            say()
            more = [f"... {len(lines) - _SHOWN} lines more"] if len(lines) > _SHOWN else []
            script(f"old value {name} on {leftover.host}", "\n".join([*lines[:_SHOWN], *more]))
    if any(leftover.old_values for leftover in found.leftovers):
        say()
        paragraph("To restore one of these values by hand, copy it now: it is removed too.", "")
    say()
