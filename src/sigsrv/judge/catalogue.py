"""The policies with their checks: what is shipped, and what ``--policies DIR`` adds.

DIR/<family>/<ID>.yaml      a policy; one of an id that is there already is replaced
DIR/checks/test_*.py        the checks of those that carry no rule
"""

from __future__ import annotations

import inspect
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from sigsrv.judge.checks import load_checks
from sigsrv.judge.require import Check
from sigsrv.model import data, policy
from sigsrv.model.errors import UsageError, nearest
from sigsrv.model.policy import Policy


@dataclass(frozen=True)
class Catalogue:
    """policies, checks: by id. Where an added policy with a rule replaced one with a check, its rule decides."""

    policies: Mapping[str, Policy]
    checks: Mapping[str, Check]

    def is_shipped(self, policy_id: str) -> bool:
        """Whether a policy is as it came with sigsrv, and not from an added folder."""
        return data.folder("policies") in self.policies[policy_id].path.parents


def checks_folder(policies: Path) -> Path:
    """Where the checks of a folder of policies are: of an added one below it."""
    return data.folder("checks") if policies == data.folder("policies") else policies / "checks"


def place(check: Check) -> str:
    """``FILE:LINE`` of a check."""
    function = inspect.unwrap(check)
    return f"{inspect.getsourcefile(function)}:{function.__code__.co_firstlineno}"


def load(added: Sequence[str | Path] = ()) -> Catalogue:
    """The shipped policies and checks, and those of further folders; a later folder replaces what an earlier one has.

    Raises UsageError: a mistake in a policy, a folder without any, a check that can't be imported, or of no policy.
    """
    folders = [Path(folder) for folder in added]
    policies = policy.load(folders)
    checks = load_checks(*map(checks_folder, (data.folder("policies"), *folders)))
    for policy_id, check in checks.items():
        if policy_id not in policies:
            raise UsageError(f"{place(check)}: there is no policy {policy_id}", nearest(policy_id, policies))
    return Catalogue(policies, checks)
