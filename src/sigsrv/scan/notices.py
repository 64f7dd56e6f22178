"""The notices of a run: what the daemons have beyond what sigsrv knows, what no policy judges, and which policies need a login."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Iterator, Mapping

from sigsrv.facts.beyond import ZONE, unknown_extensions, unknown_keys, ways_in
from sigsrv.facts.hosts import HostFacts
from sigsrv.facts.limits import watching
from sigsrv.judge.clauses import NO_LOGIN
from sigsrv.model import incus_keys
from sigsrv.model.errors import EvidenceError
from sigsrv.model.finding import Finding, Verdict
from sigsrv.model.notice import Notice

_OF_ZONES = "NET-009"  # not-applicable unless the site file says which zones there are
_MOST = 500  # details of a notice that are kept


@watching()
def notices_of(facts: Mapping[str, HostFacts], findings: Iterable[Finding]) -> tuple[Notice, ...]:
    """Return the notices of a run, at most one of each kind. facts: those of its hosts. findings: all of them, also unselected ones."""
    found = tuple(findings)
    has_zones = any(each.policy == _OF_ZONES and each.verdict is not Verdict.NOT_APPLICABLE for each in found)
    return (*_newer(facts), *_not_judged(facts, {ZONE} if has_zones else set()), *_no_login(facts, found))


def _newer(facts: Mapping[str, HostFacts]) -> Iterator[Notice]:
    """Yield the notice of API extensions and configuration keys that no known version of Incus has."""
    extensions = _by_host(facts, lambda host: unknown_extensions(host.incus))
    keys = _by_host(facts, lambda host: unknown_keys(host.evidence))
    hosts = [name for name in facts if extensions.get(name) or keys.get(name)]
    if not hosts:
        return
    new, added = _united(extensions), _united(keys)
    known = " and ".join(incus_keys.versions())
    counts = f"{_count(len(new), 'API extension')} and {_count(len(added), 'configuration key')}"
    unread = [name for name in hosts if name not in keys]
    more = f" {', '.join(unread)}: the list of keys could not be read." if unread else ""
    yield Notice(
        "newer-incus",
        f"Incus on {', '.join(hosts)} is newer than sigsrv knows: it has {counts} that Incus {known} lack. A policy is error where an "
        f"object has a key that the policy does not know and that could change its verdict. All other verdicts are as usual.{more}",
        tuple(hosts),
        _details([*(f"API extension {name}" for name in new), *(f"key of {name}" for name in added)]),
    )


def _not_judged(facts: Mapping[str, HostFacts], judged: Collection[str]) -> Iterator[Notice]:
    """Yield the notice of what lets others reach guests, and has no policy. judged: the kinds that a policy judged."""
    found = {name: ways_in(host.evidence) for name, host in facts.items() if not host.evidence.failure}
    ways = _united(
        {name: [str(way) for way in listed if way.kind not in judged] for name, (listed, _) in found.items()}
    )
    unread = {reason for _, reasons in found.values() for reason in reasons}
    if not ways and not unread:
        return
    hosts = tuple(name for name, each in found.items() if any(each))
    what = f"{_count(len(ways), 'way')} to reach guests or their data that no policy judges" if ways else ""
    lists = f"{_count(len(unread), 'list')} of such ways that could not be read" if unread else ""
    yield Notice(
        "not-judged",
        f"Incus has {' and '.join(filter(None, [what, lists]))}: network forwards, load balancers, peers, zones and buckets. "
        "Check them by hand: incus network forward list NETWORK, incus storage bucket list POOL.",
        hosts,
        _details([*ways, *unread]),
    )


def _no_login(facts: Mapping[str, HostFacts], findings: Iterable[Finding]) -> Iterator[Notice]:
    """Yield the notice of policies that were not judged because the site file says that sigsrv must not log in."""
    left = [each for each in findings if each.verdict is Verdict.NOT_APPLICABLE and each.reason.startswith(NO_LOGIN)]
    if not left:
        return
    policies = sorted({each.policy for each in left})
    hosts = tuple(name for name, host in facts.items() if host.has_no_login)
    yield Notice(
        "no-login",
        f"sigsrv does not log in to {', '.join(hosts)} (api.only in the site file). {_count(len(policies), 'policy', 'policies')} could "
        "not be judged there for that reason. All others are judged from the API.",
        hosts,
        _details(policies),
    )


def _details(names: Iterable[str]) -> tuple[str, ...]:
    """Return the first names, sorted: a daemon may list any number of them."""
    found = sorted(names)
    more = [f"and {len(found) - _MOST} more"] if len(found) > _MOST else []
    return (*found[:_MOST], *more)


def _by_host(
    facts: Mapping[str, HostFacts], read: Callable[[HostFacts], Collection[str]]
) -> dict[str, Collection[str]]:
    """Return what each host has, by its name; without hosts that could not be read."""
    found = {}
    for name, host in facts.items():
        try:
            found[name] = read(host)
        except EvidenceError:
            continue
    return found


def _united(by_host: Mapping[str, Iterable[str]]) -> set[str]:
    return {each for values in by_host.values() for each in values}


def _count(number: int, one: str, many: str = "") -> str:
    return f"{number} {one if number == 1 else many or one + 's'}"
