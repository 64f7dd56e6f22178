"""evaluate: policies x facts -> findings. Pure: it reads no host, no file and no clock.

Room: evaluate. May import the model, facts and errors. One piece of code decides for pytest, scan and remediation.
"""

from __future__ import annotations

import dataclasses
import hashlib
import importlib.util
import sys
import traceback
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from types import ModuleType
from typing import Any

import jsonpointer

from sigsrv.errors import EvidenceError, FailureKind, UsageError
from sigsrv.examined import resources
from sigsrv.facts import ClusterFacts, HostFacts, clusters
from sigsrv.finding import Finding, Verdict, finding_id, ordered, parse_finding_id
from sigsrv.policy import Policy
from sigsrv.site import Site

Check = Callable[[Any, Site, "Require"], None]
REACHABLE = "HOST-001"  # judges the way to a host: what can't be known there is because of it
SERVICE = "HOST-002"  # judges the daemon: what the API can't tell is because of it
MEMBERS = "CLUS-006"  # judges which member answers where: what another one tells is because of it
_EXEMPTED = "the site exempts it: "  # how the reason of what the site exempts begins


def policy(policy_id: str) -> Callable[[Check], Check]:
    """Mark a function as the check of a policy. It takes ``facts`` (HostFacts or ClusterFacts), ``site`` and ``require``."""

    def mark(check: Check) -> Check:
        check.sigsrv_policy = policy_id  # type: ignore[attr-defined]
        return check

    return mark


def policy_of(check: object) -> str | None:
    """The policy that a function is the check of."""
    return getattr(check, "sigsrv_policy", None)


def load_checks(*folders: Path) -> dict[str, Check]:
    """The checks of the ``test_*.py`` of some folders, by policy id; a later folder replaces what an earlier one has.

    Raises UsageError: a file that can't be imported, two checks of one id in one folder.
    """
    found: dict[str, Check] = {}
    for folder in folders:
        here: dict[str, Check] = {}
        for path in sorted(folder.glob("test_*.py")):
            for member in vars(_imported(path)).values():
                policy_id = policy_of(member)
                if policy_id and here.setdefault(policy_id, member) is not member:
                    raise UsageError(f"{path}: a second check of {policy_id}")
        found |= here
    return found


def _imported(path: Path) -> ModuleType:
    """A file of checks as a module. Its name is made of the whole path: each folder may have a ``test_net.py``."""
    name = f"_sigsrv_checks_{hashlib.sha256(bytes(path.resolve())).hexdigest()[:12]}_{path.stem}"
    spec = importlib.util.spec_from_file_location(name, path)
    assert spec
    assert spec.loader
    module = importlib.util.module_from_spec(spec)
    sys.modules[name] = module
    try:
        spec.loader.exec_module(module)
    except Exception as cause:
        frames = traceback.extract_tb(cause.__traceback__)
        lines = [frame.lineno for frame in frames if frame.filename == str(path)]
        line = cause.lineno if isinstance(cause, SyntaxError) else lines[-1] if lines else 1
        raise UsageError(f"{path}:{line}: can't be imported: {type(cause).__name__}: {cause}") from cause
    return module


class Require:
    """What a check records with: one finding for each resource, on the scope's host unless ``host`` names another."""

    def __init__(self, policy: Policy, site: Site, scope: str, subject: str) -> None:
        self._policy = policy
        self._site = site
        self._scope = scope
        self._subject = subject  # the resource of what concerns the whole scope
        self._found: dict[str, Finding] = {}

    def __call__(
        self,
        resource: str,
        holds: bool,
        *,
        expected: str,
        observed: object,
        reason: str = "",
        host: str | None = None,
        fix: Mapping[str, Any] | None = None,
    ) -> None:
        """Record ``pass`` or ``fail``. fix: the values that the remediation's scripts need."""
        exemption = self._site.exemption(self._policy.id, resource)
        verdict = Verdict.PASS if holds else Verdict.FAIL
        if exemption:
            verdict, reason = Verdict.NOT_APPLICABLE, f"{_EXEMPTED}{exemption.reason}"
        self._record(resource, verdict, expected, _shown(observed), reason, None, host, fix)

    def not_applicable(
        self, resource: str | None = None, reason: str = "", because: str | None = None, host: str | None = None
    ) -> None:
        """Record that there is nothing to judge. because: the id of the finding that the subject is missing for."""
        self._record(resource or self._subject, Verdict.NOT_APPLICABLE, "", "", reason, because, host, None)

    def unknown(self, resource: str | None, reason: str, because: str | None = None, host: str | None = None) -> None:
        """Record that it could not be determined."""
        self._record(resource or self._subject, Verdict.ERROR, "", "", reason, because, host, None)

    @contextmanager
    def about(self, resource: str, host: str | None = None) -> Iterator[None]:
        """What can't be determined within is ``error`` of this resource alone; the others are judged on."""
        try:
            yield
        except EvidenceError as cause:
            self.unknown(resource, cause.reason, _because(cause, self._policy.id), host)

    def _record(
        self,
        resource: str,
        verdict: Verdict,
        expected: str,
        observed: str,
        reason: str,
        because: str | None,
        host: str | None,
        fix: Mapping[str, Any] | None,
    ) -> None:
        policy = self._policy
        finding = Finding(
            policy=policy.id,
            title=policy.title,
            severity=policy.severity,
            host=host or self._scope,
            resource=resource,
            verdict=verdict,
            expected=expected,
            observed=observed,
            reason=reason,
            because=because,
            remediation=policy.remediation if verdict is Verdict.FAIL else None,
            fix=dict(fix or {}),
        )
        if (
            finding.id in self._found and verdict is not Verdict.ERROR
        ):  # two verdicts of one resource: neither is to be believed
            text = f"the check recorded {finding.id} twice"
            finding = dataclasses.replace(finding, verdict=Verdict.ERROR, reason=text, because=None, remediation=None)
        self._found[finding.id] = finding

    @property
    def findings(self) -> tuple[Finding, ...]:
        return ordered(self._found.values())

    def run(self, check: Callable[[], None]) -> tuple[Finding, ...]:
        """Run a check to its end, or to what it could not determine. What it recorded before that stands."""
        try:
            check()
        except EvidenceError as cause:
            self.unknown(None, cause.reason, _because(cause, self._policy.id))
        except AssertionError as cause:  # a plain assert: a finding on the host itself
            message = str(cause).split("\n", 1)[0] or "the assertion does not hold"
            self(self._subject, False, expected=self._policy.title, observed=message)
        except Exception as cause:  # a bug of the check is not a verdict
            self.unknown(None, f"the check broke: {type(cause).__name__}: {cause}")
        if not self._found:
            self.not_applicable(reason=f"nothing to examine: no {self._policy.examines} here")
        return self.findings


def _shown(value: object) -> str:
    """What was observed, as a line. Sets and lists are sorted and joined, so that equal runs show equal text."""
    if isinstance(value, set | frozenset | list | tuple):
        return ", ".join(sorted(str(item) for item in value)) or "none"
    return str(value)


def _because(cause: EvidenceError, judging: str) -> str | None:
    roots = {FailureKind.UNREACHABLE: REACHABLE, FailureKind.DOWN: SERVICE, FailureKind.SILENT: SERVICE}
    root = roots.get(cause.kind)
    if cause.kind is FailureKind.ANOTHER and judging != MEMBERS:
        return finding_id(MEMBERS, "cluster", cause.host)
    return finding_id(root, cause.host, cause.host) if root and root != judging and cause.host else None


def on_host(policy: Policy, check: Check | None, site: Site, facts: HostFacts) -> tuple[Finding, ...]:
    """The findings of a policy on one host. A host that could not be reached has one ``error`` for each policy."""
    require = Require(policy, site, facts.name, facts.name)
    if facts.unreachable and policy.id != REACHABLE:
        because = finding_id(REACHABLE, facts.name, facts.name)
        require.unknown(None, f"{facts.name} could not be read: {facts.unreachable.reason}", because)
        return require.findings
    if facts.another and policy.id != REACHABLE:
        require.unknown(None, facts.another.reason, _because(facts.another, policy.id))
        return require.findings
    return _run(policy, check, site, facts, require)


def on_clusters(policy: Policy, check: Check | None, site: Site, hosts: Mapping[str, HostFacts]) -> tuple[Finding, ...]:
    """The findings of a policy on the cluster (and on each host that is in none)."""
    found: list[Finding] = []
    for facts in clusters(hosts):
        require = Require(policy, site, facts.name, facts.name)
        found += _run(policy, check, site, facts, require)
    return ordered(found)


def on_site(policy: Policy, check: Check | None, site: Site, hosts: Mapping[str, HostFacts]) -> tuple[Finding, ...]:
    """The findings of a policy that holds the hosts against each other, whatever clusters they are in. All must have been read."""
    facts = ClusterFacts("cluster", hosts)
    require = Require(policy, site, facts.name, facts.name)
    away = next((host for host in hosts.values() if host.unreachable), None)
    if len(site.hosts) < 2:
        require.not_applicable(reason="the site has one host")
    elif len(hosts) < 2:
        require.not_applicable(reason=f"only {', '.join(hosts) or 'no host'} was selected: there is nothing to compare")
    elif away and away.unreachable:
        because = finding_id(REACHABLE, away.name, away.name)
        require.unknown(None, f"{away.name} could not be read: {away.unreachable.reason}", because)
    elif another := next((host.another for host in hosts.values() if host.another), None):
        require.unknown(None, another.reason, _because(another, policy.id))
    else:
        return _run(policy, check, site, facts, require)
    return require.findings


def _run(
    policy: Policy, check: Check | None, site: Site, facts: HostFacts | ClusterFacts, require: Require
) -> tuple[Finding, ...]:
    def apply() -> None:
        if policy.examines == "instance" and isinstance(facts, ClusterFacts):
            for unread, cause in facts.instances.unread:
                require.unknown(unread.resource, cause.reason, _because(cause, policy.id), cause.host)
        if policy.rule is not None:
            _apply_rule(policy, facts, require)
        elif check is not None:
            check(facts, site, require)
        else:
            require.unknown(None, f"{policy.id} has neither a rule nor a check")

    return require.run(apply)


def evaluate(
    policies: Iterable[Policy], checks: Mapping[str, Check], site: Site, hosts: Mapping[str, HostFacts]
) -> tuple[Finding, ...]:
    """The findings of all policies on all hosts, in the order of their ids. hosts: in the order of the site."""
    return settled(_unsettled(policies, checks, site, hosts))


def evaluate_one(
    policy: Policy,
    policies: Mapping[str, Policy],
    checks: Mapping[str, Check],
    site: Site,
    hosts: Mapping[str, HostFacts],
) -> tuple[Finding, ...]:
    """The findings of one policy, as ``evaluate`` of the whole catalogue has them.

    Of the others only those are judged that an excuse is left to: a verdict depends on nothing else.
    """
    mine = _unsettled([policy], checks, site, hosts)
    roots = {parse_finding_id(finding.because)[0] for finding in mine if finding.because} - {policy.id}
    judged = _unsettled([policies[root] for root in sorted(roots) if root in policies], checks, site, hosts)
    return tuple(finding for finding in settled([*mine, *judged]) if finding.policy == policy.id)


def _unsettled(
    policies: Iterable[Policy], checks: Mapping[str, Check], site: Site, hosts: Mapping[str, HostFacts]
) -> list[Finding]:
    found: list[Finding] = []
    for each in policies:
        check = checks.get(each.id)
        if each.on_hosts:
            for facts in hosts.values():
                found += on_host(each, check, site, facts)
        elif each.on_site:
            found += on_site(each, check, site, hosts)
        else:
            found += on_clusters(each, check, site, hosts)
    return found


def settled(findings: Iterable[Finding]) -> tuple[Finding, ...]:
    """Findings whose excuses were checked: ``not-applicable because X`` stands only where X was judged, and did not pass.

    Nor may X have found nothing to judge there, unless the site exempts it. Otherwise nobody looks at what is missing, and it is ``error``.
    """
    found = ordered(findings)
    judged = {finding.id: finding for finding in found}
    return tuple(_settle(finding, judged) for finding in found)


def _settle(finding: Finding, judged: Mapping[str, Finding]) -> Finding:
    if finding.verdict is not Verdict.NOT_APPLICABLE or finding.because is None:
        return finding
    root = judged.get(finding.because)
    if root is None:
        why = "which no policy judged"
    elif root.verdict is Verdict.PASS:
        why = "which passed"
    elif root.verdict is Verdict.NOT_APPLICABLE and root.because is None and not root.reason.startswith(_EXEMPTED):
        why = "which found nothing to judge there"
    else:
        return finding
    reason = f"{finding.reason}; that is left to {finding.because}, {why}"
    return dataclasses.replace(finding, verdict=Verdict.ERROR, reason=reason, because=None)


def _apply_rule(policy: Policy, facts: HostFacts | ClusterFacts, require: Require) -> None:
    for host, resource, document in resources(policy.examines, facts):
        if matches(policy, document):
            require(
                resource,
                holds(policy, document),
                expected=policy.expected,
                observed=observed(policy, document),
                host=host,
            )


def matches(policy: Policy, document: Mapping[str, Any]) -> bool:
    """Whether a rule policy concerns a resource."""
    return policy.concerns.is_valid(document)


def holds(policy: Policy, document: Mapping[str, Any]) -> bool:
    """Whether a resource keeps a rule policy."""
    return policy.keeps.is_valid(document)


def observed(policy: Policy, document: Mapping[str, Any]) -> str:
    """The fact that a rule policy shows, with its name."""
    value = jsonpointer.resolve_pointer(document, policy.observe, None)
    return f"{policy.observe.rsplit('/', 1)[-1]} is {'unset' if value is None else value}"
