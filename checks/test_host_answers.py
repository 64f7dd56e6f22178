"""Checks of HOST: whether a host that can be reached answers everything that a scan asks."""

from collections.abc import Iterator, Sequence
from typing import NamedTuple

from sigsrv import HostFacts, Require, Site, finding_id, policy
from sigsrv.collect.refusals import refused_account
from sigsrv.collect.urls import INSTANCES, OPERATIONS, SERVER
from sigsrv.facts.unanswered import REFUSED, Unanswered
from sigsrv.judge.require import REACHABLE, SERVICE

_SHOWN = 3  # reasons, and hints about other hosts, that a finding shows, at most
_DENIED = ("denied", REFUSED)
_ASKS_MEMBERS = (INSTANCES, OPERATIONS)  # the daemon asks the other members for a part of these answers


class _Cause(NamedTuple):
    """Why some probes or requests got no answer.

    hints: commands that show it or fix it. because: the finding that reports it. maybe: those that may.
    """

    reason: str
    hints: tuple[str, ...] = ()
    because: str | None = None
    maybe: tuple[str, ...] = ()


@policy("HOST-011")
def test_host_answers_everything_that_a_scan_asks(facts: HostFacts, site: Site, require: Require) -> None:
    """Looks whether each probe and each request to the Incus API got an answer, and sums up why not. It reads no answer.

    A daemon that is down is left to HOST-002, an account that can run no command at all to HOST-001. Without one of these, all other
    causes on the host are here, so that the policies that need the answers can name one finding.
    """
    with require.finding(
        facts.name, "every probe and every request to the Incus API is answered", otherwise="everything was answered"
    ) as finding:
        unanswered = facts.unanswered
        asked = [each for each in unanswered if each.was_asked]
        causes = [*_of_rights(facts, asked), *_of_probes(facts, asked), *_of_requests(facts, site, asked)]
        own = [cause for cause in causes if cause.because is None]
        for cause in causes:
            finding.unknown(cause.reason, None if own else cause.because, cause.maybe)
            finding.hints += cause.hints
        if late := len(unanswered) - len(asked):
            reason = f"{late} not asked any more: the host's time was over"
            # They are a consequence of the others: they have the same roots.
            finding.unknown(reason, None, causes[0].maybe if causes else ())


def _of_probes(facts: HostFacts, asked: Sequence[Unanswered]) -> Iterator[_Cause]:
    probes = [each for each in asked if each.command and each.kind not in _DENIED]
    if facts.no_probe_answered:
        yield _Cause(facts.no_probe_answered.reason, because=finding_id(REACHABLE, facts.name, facts.name))
    elif probes:
        reasons = list(dict.fromkeys(each.reason for each in probes))
        more = f"; {len(reasons) - _SHOWN} more" if len(reasons) > _SHOWN else ""
        yield _Cause(f"{'; '.join(reasons[:_SHOWN])}{more}", _see(facts, probes))


def _of_rights(facts: HostFacts, asked: Sequence[Unanswered]) -> Iterator[_Cause]:
    """Yield one cause for all that the account may not run, and one if the daemon does not trust it."""
    programs: dict[str, list[str]] = {}  # what is refused, by the reason
    by_daemon = ""
    for each in asked:
        if each.kind not in _DENIED or (each.command and facts.no_probe_answered):
            continue
        if each.refused_by_daemon:
            by_daemon = by_daemon or each.reason
            continue
        for reason in each.reason.split("; ") if not each.command else [each.reason]:
            short = reason.removeprefix(f"Incus API on {facts.name}: ").partition(" (use ")[0]
            programs.setdefault(short, []).append(each.command.partition(" ")[0] or "incus")
    if programs:
        refused = "; ".join(f"{', '.join(dict.fromkeys(names))} ({why})" for why, names in programs.items())
        account = next(filter(None, map(refused_account, programs)), "USER")
        yield _Cause(f"refused: {refused}", (f"sigsrv probes --sudoers {account}",))
    if by_daemon:
        yield _Cause(by_daemon, ("incus config trust list",))


def _see(facts: HostFacts, probes: Sequence[Unanswered]) -> tuple[str, ...]:
    """Return the command that shows the first failure again; none if no probe was run."""
    return () if probes[0].kind == "absent" else (f"ssh {facts.name} {probes[0].command}",)


def _of_requests(facts: HostFacts, site: Site, asked: Sequence[Unanswered]) -> Iterator[_Cause]:
    requests = [each for each in asked if not each.command]
    server = next((each for each in requests if each.name == SERVER), None)
    if server is not None and server.kind in ("down", "silent"):
        yield _Cause(server.reason, because=finding_id(SERVICE, facts.name, facts.name))
        return
    others = [each for each in requests if each.kind not in _DENIED]
    if not others:
        return
    reason = f"{others[0].reason}; {len(others) - 1} more requests" if len(others) > 1 else others[0].reason
    if server is not None:
        yield _Cause(reason)
    elif not facts.incus.server.clustered:
        yield _Cause(reason, (f"ssh {facts.name} incus query '{others[0].name}'",))
    else:
        away = [host.name for host in site.hosts if host.name != facts.name]
        maybe = tuple(finding_id(root, name, name) for name in away for root in (SERVICE, REACHABLE))
        waits = all(each.name in _ASKS_MEMBERS for each in others)
        what = "the daemon waits for other members" if waits else "the daemon can't read the database of the cluster"
        hints = tuple(f"ssh {name} systemctl status incus.service" for name in away[:_SHOWN])
        yield _Cause(f"{what}: {reason}", hints, maybe=maybe)
