"""Judges the policies that say what must be true in forms: ``keys``, ``devices``, ``threshold``, ``listed`` and ``joined``.

All forms of a policy make clauses of one finding for each resource, see ``sigsrv.model.forms``.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping
from contextlib import nullcontext
from dataclasses import replace
from typing import Any

from sigsrv.facts.clusters import ClusterFacts
from sigsrv.facts.hosts import HostFacts
from sigsrv.judge.clauses import Clauses
from sigsrv.judge.examined import Matcher
from sigsrv.judge.form_devices import chosen_devices, judge_devices
from sigsrv.judge.form_keys import KeysJudge
from sigsrv.judge.form_subjects import subjects
from sigsrv.judge.form_values import Subject, all_hold, holds, observed_text, wanted_text, wrong_items
from sigsrv.judge.require import Require, because_of
from sigsrv.model.errors import EvidenceError
from sigsrv.model.finding import finding_id
from sigsrv.model.forms import Clause, Join, Need, Value
from sigsrv.model.policy import Policy
from sigsrv.model.site import Site


def judge_forms(policy: Policy, facts: HostFacts | ClusterFacts, site: Site, require: Require) -> None:
    """Record one finding for each resource that a policy with forms examines."""
    matcher = Matcher(policy)
    judge = _FormsJudge(policy, facts, site)
    devices = policy.forms.devices
    for subject, each in subjects(policy, facts, site, require):
        try:
            if not matcher.matches(each):
                require.leave_out(subject.resource, matcher.reason)
                continue
            if devices and devices.if_none and not chosen_devices(devices, each, subject):
                require.leave_out(subject.resource, devices.if_none)
                continue
        except EvidenceError as cause:
            require.unknown(subject.resource, cause.reason, because_of(cause, policy.id), subject.host)
            continue
        with require.finding(subject.resource, policy.title, host=subject.host) as finding:
            judge.judge(subject, finding)


class _FormsJudge:
    """Judges all forms of a policy on the resources of one host or cluster."""

    def __init__(self, policy: Policy, facts: HostFacts | ClusterFacts, site: Site) -> None:
        self._policy, self._forms, self._facts, self._site = policy, policy.forms, facts, site
        self._joins = policy.forms.joined.with_ if policy.forms.joined else {}
        self._keys = [KeysJudge(policy, keys, facts, site) for keys in policy.forms.keys]
        self._clauses = policy.forms.clauses

    def judge(self, subject: Subject, finding: Clauses) -> None:
        """Record the clauses of one resource, what its finding expects and shows, and the values of its fix."""
        forms = self._forms
        joined, is_complete = _join(self._joins, subject, finding) if self._joins else (subject, True)
        if is_complete and (not forms.needs or _meets_needs(forms.needs, joined, finding)):
            self._judge_each(joined, finding)
        try:
            finding.expected = self._expected(joined)
        except EvidenceError:
            finding.expected = self._policy.title
        if finding.is_violated:
            finding.fix = {name: joined.value(value) for name, value in forms.fix.items()} | finding.fix
        elif forms.shows and is_complete:
            finding.summary = joined.text(forms.shows)

    def _judge_each(self, subject: Subject, finding: Clauses) -> None:
        for keys in self._keys:
            with finding.clause():
                keys.judge(subject, finding)
        if self._forms.devices:
            judge_devices(self._forms.devices, subject, self._facts, self._site, finding)
        for clause in self._clauses:
            with finding.clause():
                if all_hold(clause.when, subject):
                    _judge_clause(clause, subject, finding)
        if finding.is_empty:
            finding.nothing("no part of the policy counts here: their conditions do not hold")

    def _expected(self, subject: Subject) -> str:
        if self._policy.expected:
            return subject.text(self._policy.expected)
        return "; ".join(wanted_text(each, subject) for each in self._clauses if all_hold(each.when, subject))


def _judge_clause(clause: Clause, subject: Subject, finding: Clauses) -> None:
    if clause.unless and all_hold(clause.unless, subject):
        finding.holds(observed_text(replace(clause, fact=clause.unless[0].fact), subject, ()))
        return
    if clause.unknown and subject.look_up(clause.fact) is None:
        finding.unknown(subject.text(clause.unknown))
        return
    wrong = wrong_items(clause, subject)
    text = _observed(clause, subject, wrong)
    if wrong:
        _record(clause.verdict, text, _root(clause.root, subject), finding)
        if clause.fixes:
            finding.fix[clause.fixes] = wrong
        if clause.refuses:
            finding.fix[clause.refuses] = "; ".join(filter(None, [finding.fix.get(clause.refuses, ""), text]))
    else:
        finding.holds(text)


def _observed(clause: Clause, subject: Subject, wrong: Collection[Any]) -> str:
    """Return what the finding shows of a clause. A text that can't be read hides no violation: the finding then shows the fact alone."""
    try:
        return observed_text(clause, subject, wrong)
    except EvidenceError:
        if not wrong:
            raise
        return observed_text(replace(clause, text="", fault=""), subject, wrong)


def _record(verdict: str, text: str, root: str | None, finding: Clauses) -> None:
    if verdict == "fail":
        finding.violated(text, root)
    elif verdict == "error":
        finding.unknown(text, root)
    else:
        finding.nothing(text, root)


def _root(root: str, subject: Subject) -> str | None:
    """Return the id of the finding that reports a cause. root: a policy, or a whole id with ``{PATH}`` for facts."""
    if not root:
        return None
    return subject.text(root) if "@" in root else finding_id(root, subject.host, subject.resource)


def _join(joins: Mapping[str, Join], subject: Subject, finding: Clauses) -> tuple[Subject, bool]:
    """Return the subject with the facts that belong to its entry, and whether it can be judged. The finding says what is missing."""
    names = dict(subject.names)
    for name, join in joins.items():
        at = subject._replace(names=names)
        wanted = at.value(join.at) if join.at != Value() else subject.resource
        names[name] = None
        if wanted is None:
            continue
        listed = subject.look_up(join.in_)
        if not isinstance(listed, Mapping):
            listed = {each.name: each for each in listed}
        if wanted in listed:
            names[name] = listed[wanted]
            continue
        text = at.text(join.missing) if join.missing else f"there is no {wanted} in {join.in_}"
        if join.root:
            finding.nothing(text, _root(join.root, at))
        elif join.verdict == "error":
            finding.unknown(text)
            continue
        else:
            finding.violated(text)
        return subject._replace(names=names), False
    return subject._replace(names=names), True


def _meets_needs(needs: Iterable[Need], subject: Subject, finding: Clauses) -> bool:
    for need in needs:
        is_unmet = False
        with finding.clause() if need.is_excuse else nullcontext():
            is_unmet = all_hold(need.when, subject) and not holds(need.that, subject)
        if not is_unmet:
            continue
        text = subject.text(need.otherwise)
        root = _root(need.root, subject)
        if need.verdict == "reported" and root:
            finding.reported_by(root, text)
            continue
        _record(need.verdict, text, root, finding)
        return False
    return True
