"""Finds mistakes in the files of the catalogue, each with file and line.

Lint only reads the files. ``examples`` runs the policies' examples.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from sigsrv.authoring import form_lint, knows_lint
from sigsrv.collect import frames_script, probes, urls
from sigsrv.facts.reading import LOGIN
from sigsrv.judge import examined, rule_schema
from sigsrv.judge.catalogue import check_location, checks_folder
from sigsrv.judge.checks import load_checks
from sigsrv.judge.require import Check
from sigsrv.model import controls, data, lasting, policy, remediation, touches, yamlfile
from sigsrv.model.errors import UsageError, nearest
from sigsrv.model.fix import PERMANENT, TOUCHES, render
from sigsrv.model.policy import Policy
from sigsrv.model.remediation import Remediation

_SOURCES = frozenset({LOGIN, frames_script.ID, *(probe.id for probe in probes.TABLE), *urls.PATHS})
_QUOTED = re.compile(r"""(["'])\{\{[^}]*\}\}\1""")  # the template engine quotes values: more quotes undo that


def lint(added: Sequence[Path] = ()) -> tuple[int, list[UsageError]]:
    """Return the number of policies (shipped and added), and every mistake in them, their checks and their remediations.

    Raises UsageError for a folder without any policy.
    """
    found: list[UsageError] = []
    policies: dict[str, Policy] = {}
    checks: dict[str, Check] = {}
    for folder in (data.folder("policies"), *added):
        here, broken = _policies(folder)
        own, unread = _checks(folder)
        found += [*broken, *unread]
        found += [
            _error(
                here[key],
                "rule",
                f"the policy says itself how to judge, and has a check as well ({check_location(check)})",
                "keep one of them",
            )
            for key, check in own.items()
            if key in here and here[key].is_declared
        ]
        policies |= here
        checks |= own
    for each in policies.values():
        found += _rule_mistakes(each)
    for path in remediation.files(data.folder("remediations")):
        found += remediation.mistakes(path)
    if found:
        return len(policies), found  # a file that can't be read causes further mistakes in the files that refer to it
    found += _checks_without_policy(policies, checks)
    remediations = remediation.load()
    for each in policies.values():
        found += _policy_mistakes(each, checks, remediations)
        found += form_lint.mistakes(each, policies, remediations)
        found += knows_lint.mistakes(each)
    return len(policies), [*found, *_unmatched_fixes(policies, remediations), *_script_mistakes(remediations)]


def _policies(folder: Path) -> tuple[dict[str, Policy], list[UsageError]]:
    found: dict[str, Policy] = {}
    wrong: list[UsageError] = []
    try:
        files = policy.files(folder)
    except UsageError as cause:
        if not any(folder.glob("*/*.yaml")):
            raise
        return found, [cause]
    for path in files:
        mistakes = policy.mistakes(path)
        wrong += mistakes
        if not mistakes:
            found[path.stem] = policy.read(path)
    return found, wrong


def _checks(folder: Path) -> tuple[dict[str, Check], list[UsageError]]:
    try:
        return load_checks(checks_folder(folder)), []
    except UsageError as cause:
        return {}, [cause]


def _error(of: Policy, key: str, message: str, hint: str = "") -> UsageError:
    return yamlfile.load(of.path).error((key,), message, hint)


def _checks_without_policy(policies: Mapping[str, Policy], checks: Mapping[str, Check]) -> Iterator[UsageError]:
    for key, check in checks.items():
        if key not in policies:
            yield UsageError(f"{check_location(check)}: there is no policy {key}", nearest(key, policies))


def _policy_mistakes(
    each: Policy, checks: Mapping[str, Check], remediations: Mapping[str, Remediation]
) -> Iterator[UsageError]:
    """Yield the mistakes in how one policy fits the rest of the catalogue."""
    if not each.is_declared and each.id not in checks:
        hint = f'add @policy("{each.id}") in {checks_folder(each.path.parents[1])}/test_{each.family}.py'
        yield _error(each, "id", "the policy has neither a rule, nor a form, nor a check", hint)
    if each.is_declared and each.examines not in examined.KINDS:
        hint = f"they can examine {', '.join(sorted(examined.KINDS))}; other kinds need a check"
        yield _error(each, "examines", f"a rule or a form can't examine {each.examines}", hint)
    for framework, control in controls.unknown(each):
        yield _error(each, "controls", controls.explain(framework, control))
    for index, name in enumerate(each.looks_at):
        if name not in _SOURCES:
            message = f"there is no probe and no path of the Incus API {name}"
            yield yamlfile.load(each.path).error(("looks_at", index), message, nearest(name, _SOURCES))
    if each.remediation is None:
        if not each.why_by_hand and data.folder("policies") in each.path.parents:
            hint = "add why_by_hand: one sentence"
            yield _error(each, "by_hand", "a shipped policy says why a person must fix it and no script", hint)
        return
    if each.remediation not in remediations:
        hint = nearest(each.remediation, remediations)
        yield _error(each, "remediation", f"there is no remediation {each.remediation}", hint)
    elif each.id not in remediations[each.remediation].fixes:
        path = remediations[each.remediation].folder / "remediation.yaml"
        yield _error(
            each, "remediation", f"{each.remediation} does not list {each.id} in fixes", f"add it to fixes: in {path}"
        )


def _rule_mistakes(each: Policy) -> Iterator[UsageError]:
    """Yield what a rule, ``match`` and the examples name that no resource has, and why a rule decides nothing."""
    if not each.is_declared:
        return
    document = yamlfile.load(each.path)
    found = [*rule_schema.mistakes(each), *rule_schema.example_mistakes(each)]
    for mistake in found or rule_schema.idle(each):
        yield document.error(_written(document.data, mistake.place), mistake.message, mistake.hint)


def _written(content: Any, place: Iterable[str | int]) -> Iterator[str | int]:
    """Yield a place as the file has it: a form that is alone may be written without a list."""
    for step in place:
        if isinstance(content, Mapping) and isinstance(step, int):
            continue
        yield step
        if isinstance(content, list) and isinstance(step, int):
            content = content[step]
        else:
            content = content.get(step) if isinstance(content, Mapping) else None


def _script_mistakes(remediations: Mapping[str, Remediation]) -> Iterator[UsageError]:
    """Yield the mistakes in the scripts of remediations: examples that are missing, templates that can't be rendered, quoted values."""
    for each in remediations.values():
        document = yamlfile.load(each.folder / "remediation.yaml")
        if missing := sorted(each.parameters.keys() - each.example.keys()):
            hint = "add a value for each parameter: lint and the tests render the scripts with them"
            yield document.error(("example",), f"no example for {', '.join(missing)}", hint)
            continue
        for path in sorted(each.folder.glob("*.j2")):
            yield from _template_mistakes(path, each)


def _template_mistakes(path: Path, remediation: Remediation) -> Iterator[UsageError]:
    finding = {"finding": "NET-001@sigsrv/br0", "policy": "NET-001", "host": "sigsrv", "resource": "br0"}
    try:
        text = render(path, {**finding, **remediation.example, "known": None})
        if path.name == TOUCHES:
            touches.parse(text, path)
        if path.name == PERMANENT["OpenTofu"]:
            lasting.parse(text, path)
    except UsageError as cause:
        yield cause
    for number, line in enumerate(path.read_text(encoding="utf-8").splitlines(), 1):
        if _QUOTED.search(line):
            yield UsageError(
                f"{path}:{number}: a value is in quotes: {line.strip()}", "write {{ name }}: it is quoted already"
            )


def _unmatched_fixes(policies: Mapping[str, Policy], remediations: Mapping[str, Remediation]) -> Iterator[UsageError]:
    """Yield the entries of ``fixes`` that no policy matches.

    An added policy may replace a shipped one and have another remediation: that is no mistake.
    """
    for each in remediations.values():
        document = yamlfile.load(each.folder / "remediation.yaml")
        for index, key in enumerate(each.fixes):
            if key not in policies:
                yield document.error(("fixes", index), f"there is no policy {key}", nearest(key, policies))
            elif policies[key].remediation != each.name and data.folder("policies") in policies[key].path.parents:
                yield document.error(("fixes", index), f"{key} does not name {each.name} as its remediation")
