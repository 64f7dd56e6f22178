"""Judges the policies that say what must be true in forms: ``keys``, ``devices``, ``threshold``, ``listed`` and ``joined``.

All forms of a policy make clauses of one finding for each resource, see ``sigsrv.model.forms``.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from contextlib import suppress
from dataclasses import replace

from sigsrv.facts.clusters import ClusterFacts
from sigsrv.facts.hosts import HostFacts
from sigsrv.judge.clauses import Clauses
from sigsrv.judge.examined import Matcher
from sigsrv.judge.form_devices import chosen_devices, judge_devices
from sigsrv.judge.form_keys import judge_keys
from sigsrv.judge.form_subjects import subjects
from sigsrv.judge.form_values import Subject, all_hold, holds, observed_text, wanted_text, wrong_items
from sigsrv.judge.require import Require
from sigsrv.model.errors import EvidenceError
from sigsrv.model.finding import finding_id
from sigsrv.model.forms import Clause, Join, Need, Value
from sigsrv.model.policy import Policy
from sigsrv.model.site import Site


def judge_forms(policy: Policy, facts: HostFacts | ClusterFacts, site: Site, require: Require) -> None:
    """Record one finding for each resource that a policy with forms examines."""
    matcher = Matcher(policy)
    for subject, each in subjects(policy, facts, site, require):
        if not matcher.matches(each):
            require.leave_out(subject.resource, matcher.reason)
            continue
        devices = policy.forms.devices
        if devices and devices.if_none and not chosen_devices(devices, each):
            require.leave_out(subject.resource, devices.if_none)
            continue
        with require.finding(subject.resource, policy.title, host=subject.host) as finding:
            _judge(policy, subject, facts, site, finding)


def _judge(policy: Policy, subject: Subject, facts: HostFacts | ClusterFacts, site: Site, finding: Clauses) -> None:
    forms = policy.forms
    joined = _join(forms.joined.with_ if forms.joined else {}, subject, finding)
    if joined is None or not _meets_needs(forms.needs, joined, finding):
        return
    with suppress(EvidenceError):  # the finding says then what the policy says: its title
        finding.expected = _expected(policy, joined)
    for keys in forms.keys:
        judge_keys(policy, keys, joined, facts, site, finding)
    if forms.devices:
        judge_devices(forms.devices, joined, facts, site, finding)
    for clause in forms.clauses:
        with finding.clause():
            if all_hold(clause.when, joined):
                _judge_clause(clause, joined, finding)
    if finding.is_violated:
        finding.fix.update({name: joined.value(value) for name, value in forms.fix.items()})
    elif forms.shows:
        finding.summary = joined.text(forms.shows)


def _expected(policy: Policy, subject: Subject) -> str:
    if policy.expected:
        return subject.text(policy.expected)
    return "; ".join(wanted_text(each, subject) for each in policy.forms.clauses if all_hold(each.when, subject))


def _judge_clause(clause: Clause, subject: Subject, finding: Clauses) -> None:
    wrong = list(wrong_items(clause, subject))
    text = observed_text(clause, subject, wrong)
    if wrong:
        finding.violated(text, finding_id(clause.root, subject.host, subject.resource) if clause.root else None)
    else:
        finding.holds(text)


def _join(joins: Mapping[str, Join], subject: Subject, finding: Clauses) -> Subject | None:
    """Return the subject with the facts that belong to its entry; None if some are missing, which the finding then says."""
    names = dict(subject.names)
    for name, join in joins.items():
        wanted = subject.value(join.at) if join.at != Value() else subject.resource
        listed = subject.look_up(join.in_)
        if not isinstance(listed, Mapping):
            listed = {each.name: each for each in listed}
        if wanted in listed:
            names[name] = listed[wanted]
            continue
        text = subject.text(join.missing) if join.missing else f"there is no {wanted} in {join.in_}"
        if join.root:
            finding.nothing(text, finding_id(join.root, subject.host, subject.resource))
        else:
            finding.violated(text)
        return None
    return replace(subject, names=names)


def _meets_needs(needs: Iterable[Need], subject: Subject, finding: Clauses) -> bool:
    for need in needs:
        if holds(need.that, subject):
            continue
        text = subject.text(need.otherwise)
        because = finding_id(need.root, subject.host, subject.resource) if need.root else None
        if need.verdict == "fail":
            finding.violated(text, because)
        elif need.verdict == "error":
            finding.unknown(text, because)
        else:
            finding.nothing(text, because)
        return False
    return True
