"""Loads the policies with their checks: the shipped ones and those of ``--policies DIR``.

DIR/<family>/<ID>.yaml      a policy; replaces a policy with the same id
DIR/checks/test_*.py        the checks of the policies without a rule
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
    """Policies and checks, by id. A policy has either a check, or a rule or forms.

    If an added policy with a rule or forms replaces one with a check, the added policy decides; an added check decides instead of the rule
    or the forms of a policy that it does not replace.
    """

    policies: Mapping[str, Policy]
    checks: Mapping[str, Check]

    def is_shipped(self, policy_id: str) -> bool:
        """Return whether a policy is shipped with sigsrv, and not from an added folder."""
        return data.folder("policies") in self.policies[policy_id].path.parents


def checks_folder(policies: Path) -> Path:
    """Return the folder with the checks for a folder of policies. For an added folder it is the subfolder ``checks``."""
    return data.folder("checks") if policies == data.folder("policies") else policies / "checks"


def check_location(check: Check) -> str:
    """Return ``FILE:LINE`` of a check."""
    function = inspect.unwrap(check)
    return f"{inspect.getsourcefile(function)}:{function.__code__.co_firstlineno}"


def load(added: Sequence[str | Path] = ()) -> Catalogue:
    """Return the shipped policies and checks, and those of further folders. A later folder replaces those of an earlier one.

    Raises UsageError: an error in a policy, a folder without policies, a check that can't be imported or has no policy.
    """
    folders = [data.folder("policies"), *map(Path, added)]
    policies = policy.load(folders[1:])
    checks: dict[str, Check] = {}
    for folder in folders:
        own = load_checks(checks_folder(folder))
        for policy_id, check in own.items():
            if policy_id not in policies:
                hint = nearest(policy_id, policies)
                raise UsageError(f"{check_location(check)}: there is no policy {policy_id}", hint)
        is_later = {key: folders.index(policies[key].path.parents[1]) >= folders.index(folder) for key in own}
        checks |= {key: check for key, check in own.items() if not (policies[key].is_declared and is_later[key])}
        policies |= {key: policies[key].with_check for key in own if key in checks}
    return Catalogue(policies, checks)
