"""The policies' examples. They need no host and run in milliseconds.

The example of a policy with a rule is the facts of one resource. The example of a policy with a check is a change (JSON Patch,
RFC 6902) to the example document ``policies/examples.yaml``, and the verdicts that it must change:
``{name, change, expect: {id: verdict}}``.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any

from sigsrv.authoring.document import UNUSABLE, SiteFacts, example_facts, facts_of, patched
from sigsrv.judge import rule_schema
from sigsrv.judge.evaluate import evaluate, evaluate_one, holds, matches
from sigsrv.judge.require import NEVER_FAIL, Check
from sigsrv.model.errors import UsageError
from sigsrv.model.finding import Finding, Verdict
from sigsrv.model.fix import fix_for
from sigsrv.model.policy import Policy
from sigsrv.model.remediation import Remediation


def mistakes(
    policy: Policy,
    policies: Sequence[Policy],
    checks: Mapping[str, Check],
    remediations: Mapping[str, Remediation],
) -> list[str]:
    """Return the mistakes in the examples of a policy, one line each.

    A failing finding must have every value that the policy's remediation needs. policies: the whole catalogue, because ``because`` may
    point to another policy.
    """
    if policy.rule is not None:
        return _rule_mistakes(policy)
    catalogue = {each.id: each for each in policies}
    unfixable: list[str] = []

    def verdicts(small: SiteFacts) -> dict[str, str]:
        findings = evaluate_one(policy, catalogue, checks, *small)
        unfixable.extend(_without_values(findings, remediations))
        return {found.id: str(found.verdict) for found in findings}

    was = verdicts(example_facts())
    found = []
    for kind, index, example in each_example(policy):
        name = f"{policy.id}: {kind}[{index}] ({example['name']})"
        try:
            changed = facts_of(patched(example["change"]))
        except UNUSABLE as cause:
            reason = str(cause).split(" in {")[0]  # the exception repeats the whole document
            found.append(f"{name}: the change can't be applied: {reason}")
            continue
        now = verdicts(changed)
        difference = {key: verdict for key, verdict in now.items() if was.get(key) != verdict}
        expected = dict(example["expect"])
        if difference != expected:
            found.append(f"{name}: expected {expected}, found {difference}")
        violates = bool({"fail", "error"} & set(now.values())) if policy.id in NEVER_FAIL else "fail" in now.values()
        if violates is not (kind == "violating"):
            found.append(f"{name}: a {kind} example {'must' if kind == 'violating' else 'must not'} fail")
    return [*found, *dict.fromkeys(unfixable)]


def _without_values(findings: Iterable[Finding], remediations: Mapping[str, Remediation]) -> Iterator[str]:
    """Yield a line for each failing finding whose remediation can't be rendered with the values of the check."""
    for finding in findings:
        try:
            fix_for(finding, remediations, "sigsrv")
        except UsageError as cause:
            yield str(cause)


def fails_as_it_stands(policies: Sequence[Policy], checks: Mapping[str, Check]) -> list[str]:
    """Return a line for each finding that fails or is unknown on the example document as it stands.

    All shipped policies must pass it, so that each difference is that of an example.
    """
    site, hosts = example_facts()
    return [
        f"{finding.policy}: the example document (policies/examples.yaml) must comply with it, "
        f"but {finding.id} is {finding.verdict}: {finding.observed or finding.reason}"
        for finding in evaluate(policies, checks, site, hosts)
        if finding.verdict in (Verdict.FAIL, Verdict.ERROR)
    ]


def each_example(policy: Policy) -> Iterator[tuple[str, int, Mapping[str, Any]]]:
    """Yield the examples of a policy, each with its kind (``compliant`` or ``violating``) and its index in that kind."""
    for kind in ("compliant", "violating"):
        for index, example in enumerate(policy.examples[kind]):
            yield kind, index, example


def _rule_mistakes(policy: Policy) -> list[str]:
    wrong = [*rule_schema.mistakes(policy), *rule_schema.example_mistakes(policy)]
    found = [f"{policy.id}: {'.'.join(map(str, each.place))}: {each.message}" for each in wrong]
    for kind, index, resource in each_example(policy):
        concerned = matches(policy, resource)
        complies = not concerned or holds(policy, resource)  # a resource that the policy does not apply to is compliant
        if complies is not (kind == "compliant"):
            found.append(f"{policy.id}: {kind}[{index}] is not {kind}")
    return found
