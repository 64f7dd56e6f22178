"""Evaluates policies on facts and returns findings. It reads no host, no file and no clock.

pytest, scan and remediation all use it, so they never disagree.
"""

from __future__ import annotations

import dataclasses
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping
from functools import partial
from typing import Any

import jsonpointer

from sigsrv.facts.clusters import ClusterFacts, clusters
from sigsrv.facts.hosts import HostFacts
from sigsrv.facts.limits import charged, watching
from sigsrv.facts.reading import guard
from sigsrv.judge import rule_schema
from sigsrv.judge.accounting import account
from sigsrv.judge.examined import resources
from sigsrv.judge.forms import judge_forms
from sigsrv.judge.known_keys import doubt_unknown_keys
from sigsrv.judge.require import EXEMPTED, REACHABLE, Check, Require, because_of
from sigsrv.judge.restricting import OF_RULES
from sigsrv.model.finding import Finding, LeftOut, Verdict, finding_id, ordered, parse_finding_id
from sigsrv.model.policy import Policy
from sigsrv.model.site import Site


def on_host(
    policy: Policy, check: Check | None, site: Site, facts: HostFacts, left_out: list[LeftOut]
) -> tuple[Finding, ...]:
    """Return the findings of a policy on one host. An unreachable host has one ``error`` for each policy."""
    require = Require(policy, site, facts.name, facts.name)
    if facts.unreachable and policy.id != REACHABLE:
        because = finding_id(REACHABLE, facts.name, facts.name)
        require.unknown(None, f"{facts.name} could not be read: {facts.unreachable.reason}", because)
        return require.findings
    if facts.wrong_member and policy.id != REACHABLE:
        require.unknown(None, facts.wrong_member.reason, because_of(facts.wrong_member, policy.id))
        return require.findings
    return _run(policy, check, site.at(facts.name), facts, require, left_out)


def on_clusters(
    policy: Policy, check: Check | None, site: Site, groups: Iterable[ClusterFacts], left_out: list[LeftOut]
) -> tuple[Finding, ...]:
    """Return the findings of a policy on the cluster and on each standalone host."""
    found: list[Finding] = []
    for facts in groups:
        require = Require(policy, site, facts.name, facts.name)
        found += _run(policy, check, site.among(tuple(facts.hosts)), facts, require, left_out)
    return tuple(found)


def on_site(
    policy: Policy, check: Check | None, site: Site, hosts: Mapping[str, HostFacts], left_out: list[LeftOut]
) -> tuple[Finding, ...]:
    """Return the findings of a policy that compares hosts, in whatever clusters they are. All hosts must have been read."""
    selected = {host.member for host in hosts.values()}
    unselected = frozenset(host.member for host in site.hosts) - selected
    facts = ClusterFacts("cluster", hosts, unselected=unselected)
    require = Require(policy, site, facts.name, facts.name)
    away = next((host for host in hosts.values() if host.unreachable), None)
    if len(site.hosts) < 2:
        require.not_applicable(reason="the site has one host")
    elif len(hosts) < 2:
        require.not_applicable(reason=f"only {', '.join(hosts) or 'no host'} was selected: there is nothing to compare")
    elif away and away.unreachable:
        because = finding_id(REACHABLE, away.name, away.name)
        require.unknown(None, f"{away.name} could not be read: {away.unreachable.reason}", because)
    elif wrong_member := next((host.wrong_member for host in hosts.values() if host.wrong_member), None):
        require.unknown(None, wrong_member.reason, because_of(wrong_member, policy.id))
    else:
        return _run(policy, check, site, facts, require, left_out)
    return require.findings


def _run(
    policy: Policy,
    check: Check | None,
    site: Site,
    facts: HostFacts | ClusterFacts,
    require: Require,
    left_out: list[LeftOut],
) -> tuple[Finding, ...]:
    def apply() -> None:
        if policy.rule is not None:
            _apply_rule(policy, facts, site, require)
        elif policy.forms.names and (wrong := rule_schema.why_wrong(policy)):
            require.unknown(None, wrong)
        elif policy.forms.names:
            judge_forms(policy, facts, site, require)
        elif check is not None:
            check(facts, site, require)
        else:
            require.unknown(None, f"{policy.id} has neither a rule, nor a form, nor a check")

    def limited(work: Callable[[], None]) -> Callable[[], None]:
        def run() -> None:
            with charged(facts.name, policy.id, is_join=True):
                work()

        return run

    require.run(limited(apply))
    require.run(limited(lambda: account(policy, facts, site, require)))
    require.run(limited(lambda: doubt_unknown_keys(policy, facts, require)))
    counted = Counter(require.left_out.values())
    left_out += [LeftOut(policy.id, facts.name, reason, count) for reason, count in sorted(counted.items())]
    return require.findings_or_nothing()


def evaluate(
    policies: Iterable[Policy],
    checks: Mapping[str, Check],
    site: Site,
    hosts: Mapping[str, HostFacts],
    left_out: list[LeftOut] | None = None,
) -> tuple[Finding, ...]:
    """Return the findings of all policies on all hosts, ordered by id.

    hosts: by name, in the order of the site. left_out: gets what the policies do not concern.
    """
    return with_roots_checked(_judge_each(policies, checks, site, hosts, [] if left_out is None else left_out))


def evaluate_one(
    policy: Policy,
    policies: Mapping[str, Policy],
    checks: Mapping[str, Check],
    site: Site,
    hosts: Mapping[str, HostFacts],
) -> tuple[Finding, ...]:
    """Return the findings of one policy, the same as ``evaluate`` gives for the whole catalogue.

    Of the other policies it evaluates only those that a ``because`` points to: a verdict depends on no others.
    """
    found = _judge_each([policy], checks, site, hosts, [])
    judged = {policy.id}
    while roots := {parse_finding_id(root)[0] for each in found for root in _roots_of(each)} & policies.keys() - judged:
        judged |= roots
        found += _judge_each([policies[root] for root in sorted(roots)], checks, site, hosts, [])
    return tuple(finding for finding in with_roots_checked(found) if finding.policy == policy.id)


def _roots_of(finding: Finding) -> Iterator[str]:
    """Yield the ids of all root findings that a verdict depends on."""
    for each in (finding, finding.own):
        if each is not None:
            yield from each.roots or ([each.because] if each.because else [])


def _judge_each(
    policies: Iterable[Policy],
    checks: Mapping[str, Check],
    site: Site,
    hosts: Mapping[str, HostFacts],
    left_out: list[LeftOut],
) -> list[Finding]:
    found: list[Finding] = []
    with watching():
        # Once for all policies: a cluster keeps what it has joined from its hosts.
        groups = clusters(hosts, [host.member for host in site.hosts])
        for each in policies:
            check = checks.get(each.id)
            if each.on_hosts:
                for facts in hosts.values():
                    found += on_host(each, check, site, facts, left_out)
            elif each.on_site:
                found += on_site(each, check, site, hosts, left_out)
            else:
                found += on_clusters(each, check, site, groups, left_out)
    return found


def with_roots_checked(findings: Iterable[Finding]) -> tuple[Finding, ...]:
    """Return findings whose root findings were checked: ``not-applicable`` because of X stays only if X reports the cause.

    If the check judged the resource nevertheless (``own``), that verdict counts as soon as one of the roots reports nothing: an
    exemption or a waiver of X excuses X alone. A finding that saw nothing to judge becomes ``error`` if no policy judged X, if X
    passed, or if X found nothing to judge (unless the site exempts X): then no policy looks at what is missing. An ``error`` that other
    findings may explain gets the first one of them that reports something as its root.
    """
    found = ordered(findings)
    roots = _Roots({finding.id: finding for finding in found})
    return tuple(
        finding if finding.because is None and not finding.roots else roots.checked(finding) for finding in found
    )


class _Roots:
    """Checks the root of each finding, and the root of that root before."""

    def __init__(self, judged: Mapping[str, Finding]) -> None:
        self._judged = judged
        self._checked: dict[str, Finding] = {}
        self._open: set[str] = set()  # the findings that wait for their root: none of them can be a root below itself

    def checked(self, finding: Finding) -> Finding:
        if finding.verdict is Verdict.ERROR and finding.because is None:
            because = next((root for root in finding.roots if self._explains(root)), None)
            return dataclasses.replace(finding, because=because) if because else finding
        if finding.verdict is not Verdict.NOT_APPLICABLE or finding.because is None:
            return finding
        if finding.id not in self._checked:
            self._open.add(finding.id)
            self._checked[finding.id] = self._check(finding, finding.because)
            self._open.discard(finding.id)
        return self._checked[finding.id]

    def _root(self, because: str) -> Finding | None:
        """Return a root finding, checked itself; None if no policy judged it or if it waits for this one."""
        root = None if because in self._open else self._judged.get(because)
        return None if root is None else self.checked(root)

    def _reports(self, because: str) -> bool:
        """Return whether a root reports a failure. HOST-001 reports a host that does not answer as ``error``.

        A root that is ``not-applicable`` reports nothing itself: its own root must.
        """
        root = self._root(because)
        if root is None:
            return False
        if root.verdict is Verdict.NOT_APPLICABLE:
            return root.because is not None and all(self._reports(each) for each in root.roots or (root.because,))
        return root.verdict is Verdict.FAIL or (root.verdict is Verdict.ERROR and root.policy == REACHABLE)

    def _explains(self, because: str) -> bool:
        """Return whether a root fails, or is itself an ``error`` that follows from no other finding: the daemon does not answer in time."""
        root = self._judged.get(because)
        return root is not None and (
            root.verdict is Verdict.FAIL or (root.verdict is Verdict.ERROR and root.because is None)
        )

    def _check(self, finding: Finding, because: str) -> Finding:
        if finding.own is not None:
            if all(self._reports(root) for root in finding.roots):
                return finding
            own = finding.own
            return self._check(own, own.because) if own.verdict is Verdict.NOT_APPLICABLE and own.because else own
        root = self._root(because)
        if because in self._open:
            why = "but that points back to this one"
        elif root is None:
            why = "but no policy judged that"
        elif root.verdict is Verdict.PASS:
            why = "but it passed"
        elif root.verdict is Verdict.NOT_APPLICABLE and root.because is None and not root.reason.startswith(EXEMPTED):
            why = "but it found nothing to judge there"
        else:
            return finding
        reason = f"{finding.reason}; {because} should report it, {why}"
        return dataclasses.replace(finding, verdict=Verdict.ERROR, reason=reason, because=None)


def _apply_rule(policy: Policy, facts: HostFacts | ClusterFacts, site: Site, require: Require) -> None:
    fix_of = OF_RULES.get(policy.remediation or "")
    refused = rule_schema.refusal(policy)
    for host, resource, document in resources(policy.examines, facts, require):
        if reason := refused(document):
            require.unknown(resource, reason, host=host)
        elif matches(policy, document):
            complies = holds(policy, document)
            values = guard(partial(fix_of, facts, site, resource)) if fix_of and not complies else {}
            require(
                resource,
                complies,
                expected=policy.expected,
                observed=observed(policy, document),
                host=host,
                fix=values,
            )


def matches(policy: Policy, document: Mapping[str, Any]) -> bool:
    """Return whether the ``match`` of a rule policy selects a resource."""
    return policy.match_validator.is_valid(document)


def holds(policy: Policy, document: Mapping[str, Any]) -> bool:
    """Return whether a resource complies with a rule policy."""
    return policy.rule_validator.is_valid(document)


def observed(policy: Policy, document: Mapping[str, Any]) -> str:
    """Return the fact that a rule policy shows, with its name: ``restricted is true``."""
    value = jsonpointer.resolve_pointer(document, policy.observe, None)
    return f"{policy.observe.rsplit('/', 1)[-1]} is {'unset' if value is None else value}"
