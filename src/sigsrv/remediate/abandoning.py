"""Gives up the rollback of a transaction that can't end: removes its timer, units and folders from the hosts, and journals who and why.

The change itself stays as it is. Nothing of it is undone.
"""

from __future__ import annotations

import shlex
from collections.abc import Sequence
from dataclasses import dataclass

from sigsrv.collect.connection import open_session
from sigsrv.collect.session import ConnectionFailed
from sigsrv.collect.target import Target
from sigsrv.model.ids import transaction_id
from sigsrv.remediate import arming, shell
from sigsrv.remediate.arming import RollbackTimer
from sigsrv.remediate.host_locks import HostLocks, Refused
from sigsrv.remediate.hosts import Hosts
from sigsrv.remediate.journal import Journal
from sigsrv.remediate.journal_rows import ABANDONED, INTERRUPTED, StepEntry, who
from sigsrv.remediate.remote import parse_state
from sigsrv.remediate.shell import HostPaths, Notify

_TIMEOUT_S = 60
_WAIT_HALVES = 40  # half seconds that a rollback that runs now gets to end

_HEADER = """\
run={run}
unit={unit}
units={units}
control={control}
homes={homes}
set -f
# shellcheck disable=SC2086 # one word for each folder; no path of sigsrv has a space
set -- $homes
set +f
for home; do safe "$home"; done
busy=$(cat "$run/running" 2>/dev/null || true)
if [ -n "$busy" ] && kill -0 "$busy" 2>/dev/null; then
  echo "refused: its script still runs (process $busy): wait for its end" >&2
  exit 1
fi
"""

_LOOK = """\
for home; do
  [ -d "$home" ] || continue
  echo "remove $home"
  for file in "$home"/state/*; do
    if [ -f "$file" ]; then printf 'value %s %s\\n' "$(printf '%s' "${file##*/}" | base64 -w 0)" "$(base64 -w 0 <"$file")"; fi
  done
done
for file in "$units/$unit.service" "$units/$unit.timer" "$control/$unit.service" "$control/$unit.timer"; do
  if [ -e "$file" ]; then echo "remove $file"; fi
done
"""

# The process that holds the latch decides what becomes of the fix. No timer starts another rollback then.
_REMOVE = """\
mkdir -p "$run"
{latch}i=0
until latch; do
  [ "$i" -lt {halves} ] || {{ echo "refused: the host is rolling it back now: wait for the end, and look again" >&2; exit 1; }}
  sleep 0.5
  i=$((i + 1))
done
say {abandons}
{stop_shell}if [ -d {booted} ]; then
{disarm}
fi
for home; do
  if [ -d "$home" ]; then rm -rf "$home"; sync "${{home%/*}}"; fi
done
rm -rf "$run"
"""


@dataclass(frozen=True)
class Leftover:
    """What is left of a transaction on a host. files: folders and units. old_values: by file name."""

    host: str
    files: tuple[str, ...]
    old_values: tuple[tuple[str, bytes], ...]


@dataclass(frozen=True)
class Abandoned:
    """A transaction that is to be abandoned. entry: its step in the journal; None if this journal does not have it."""

    transaction: str
    entry: StepEntry | None
    leftovers: tuple[Leftover, ...]
    notes: tuple[str, ...]


def look(hosts: Hosts, journal: Journal, transaction: str, paths: HostPaths) -> Abandoned:
    """Return what is left of a transaction on the hosts. Changes nothing. Raises Refused: a folder is not trusted, or its script runs."""
    found, notes = [], []
    for target in _targets(hosts):
        try:
            with open_session(target) as session:
                result = shell.run(session, paths, _header(transaction, paths) + _LOOK, _TIMEOUT_S)
        except ConnectionFailed as cause:
            notes.append(f"{target.name} can't be reached, so what it has stays: {cause.failure.reason}")
            continue
        if result.rc != 0:
            raise Refused([f"{target.name}: {result.reason.removeprefix('refused: ')}"])
        lines = [line.partition(" ") for line in result.stdout.splitlines()]
        values = "\n".join(rest for word, _, rest in lines if word == "value")
        files = tuple(rest for word, _, rest in lines if word == "remove")
        if files:
            found.append(Leftover(target.name, files, tuple(parse_state(values).items())))
    steps = (step for run in journal.history() for step in run.steps)
    entry = next((step for step in steps if step.transaction == transaction), None)
    return Abandoned(transaction, entry, tuple(found), tuple(notes))


def remove(hosts: Hosts, journal: Journal, shown: Abandoned, locks: HostLocks, reason: str, notify: Notify) -> None:
    """Remove what was shown, and journal it. Raises Refused if a host refuses; then the journal says ``failed``."""
    entry = shown.entry
    journaled = entry if entry and entry.fix and entry.end in (INTERRUPTED, "failed", ABANDONED) else None
    if journaled and journaled.fix:
        journal.write(shown.transaction, journaled.fix, ABANDONED, f"by {who()}: {reason}")
    targets = {target.name: target for target in _targets(hosts)}
    for leftover in shown.leftovers:
        try:
            problem = _remove_on(targets[leftover.host], shown, locks.paths, reason)
        except ConnectionFailed as cause:
            problem = f"can't be reached: {cause.failure.reason}"
        if problem:
            if journaled and journaled.fix:
                journal.write(
                    shown.transaction, journaled.fix, "failed", f"not abandoned on {leftover.host}: {problem}"
                )
            raise Refused([f"{leftover.host}: {problem}"])
        notify(f"{leftover.host}: removed {', '.join(leftover.files)}")


def _remove_on(target: Target, shown: Abandoned, paths: HostPaths, reason: str) -> str:
    """Remove a transaction from one host. Returns the problem, "" for none. Raises ConnectionFailed."""
    of = f" of {shown.entry.remediation} for {shown.entry.finding}" if shown.entry else ""
    line = f"{who()} abandons the rollback{of} (transaction {shown.transaction}, reason: {reason})"
    code = _REMOVE.format(
        latch=arming.LATCH,
        halves=_WAIT_HALVES,
        abandons=shlex.quote(" ".join(line.split())),
        stop_shell=arming.STOP_SHELL_TIMER,
        booted=shlex.quote(paths.booted),
        disarm=arming.DISARM[RollbackTimer.UNIT],
    )
    with open_session(target) as session:
        result = shell.run(session, paths, _header(shown.transaction, paths) + code, _TIMEOUT_S)
    return "" if result.rc == 0 else result.reason.removeprefix("refused: ")


def _targets(hosts: Hosts) -> Sequence[Target]:
    """Return the hosts that sigsrv logs in on."""
    return [target for target in hosts.targets.values() if not (target.api and target.api.only)]


def _header(transaction: str, paths: HostPaths) -> str:
    name = transaction_id(transaction)
    homes = " ".join(f"{folder}/{name}" for folder in (paths.run, paths.disk, paths.old_disk))
    return _HEADER.format(
        run=shlex.quote(f"{paths.run}/{name}"),
        unit=shlex.quote(f"sigsrv-undo-{name}"),
        units=shlex.quote(paths.units),
        control=shlex.quote(paths.control),
        homes=shlex.quote(homes),
    )
