"""What is wrong with the files of the catalogue, each mistake with its file and line.

It reads files only: whether the examples show what they say is told by ``examples``.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

from sigsrv.judge import examined
from sigsrv.judge.catalogue import check_location, checks_folder
from sigsrv.judge.checks import load_checks
from sigsrv.judge.require import Check
from sigsrv.model import controls, data, policy, remediation, yamlfile
from sigsrv.model.errors import UsageError, nearest
from sigsrv.model.policy import Policy
from sigsrv.model.remediation import Remediation


def lint(added: Sequence[Path] = ()) -> tuple[int, list[UsageError]]:
    """How many policies there are, in the shipped folder and in further ones, and every mistake in them and what belongs to them.

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
            _error(here[key], "rule", f"it has a rule and a check ({check_location(check)}); one of them decides")
            for key, check in own.items()
            if key in here and here[key].rule is not None
        ]
        policies |= here
        checks |= own
    if found:
        return len(policies), found  # a file that can't be read would make others wrong that refer to it
    found += _checks_of_nothing(policies, checks)
    try:
        remediations = remediation.load()
    except UsageError as cause:
        return len(policies), [*found, cause]
    for each in policies.values():
        found += _faults(each, checks, remediations)
    return len(policies), [*found, *_mends_nothing(policies, remediations)]


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


def _checks_of_nothing(policies: Mapping[str, Policy], checks: Mapping[str, Check]) -> Iterator[UsageError]:
    for key, check in checks.items():
        if key not in policies:
            yield UsageError(f"{check_location(check)}: there is no policy {key}", nearest(key, policies))


def _faults(each: Policy, checks: Mapping[str, Check], remediations: Mapping[str, Remediation]) -> Iterator[UsageError]:
    """What is wrong with one policy beside the others."""
    if each.rule is None and each.id not in checks:
        hint = f'@policy("{each.id}") in {checks_folder(each.path.parents[1])}/test_{each.family}.py'
        yield _error(each, "id", "it has neither a rule nor a check", hint)
    if each.rule is not None and each.examines not in examined.KINDS:
        hint = f"a rule can examine {', '.join(sorted(examined.KINDS))}; anything else needs a check"
        yield _error(each, "examines", f"a rule can't examine {each.examines}", hint)
    for framework, control in controls.unknown(each):
        yield _error(each, "controls", controls.explain(framework, control))
    if each.remediation is None:
        return
    if each.remediation not in remediations:
        hint = nearest(each.remediation, remediations)
        yield _error(each, "remediation", f"there is no remediation {each.remediation}", hint)
    elif each.id not in remediations[each.remediation].mends:
        path = remediations[each.remediation].folder / "remediation.yaml"
        yield _error(
            each, "remediation", f"{each.remediation} does not say that it mends {each.id}", f"mends: in {path}"
        )


def _mends_nothing(policies: Mapping[str, Policy], remediations: Mapping[str, Remediation]) -> Iterator[UsageError]:
    """What remediations say to mend, and no policy knows of. An added policy may have its own way in place of the shipped one."""
    for each in remediations.values():
        document = yamlfile.load(each.folder / "remediation.yaml")
        for index, key in enumerate(each.mends):
            if key not in policies:
                yield document.error(("mends", index), f"there is no policy {key}", nearest(key, policies))
            elif policies[key].remediation != each.name and data.folder("policies") in policies[key].path.parents:
                yield document.error(("mends", index), f"{key} does not name {each.name} as its remediation")
