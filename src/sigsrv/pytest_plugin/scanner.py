"""The single scan of a pytest session, and the part of it that each test shows."""

from __future__ import annotations

import shlex
import time
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path

import pytest

from sigsrv.collect.evidence import Evidence
from sigsrv.judge import catalogue
from sigsrv.judge.catalogue import Catalogue
from sigsrv.judge.require import Check
from sigsrv.judge.selecting import OPTIONS, Filters
from sigsrv.model import data
from sigsrv.model.finding import Finding, LeftOut, Run
from sigsrv.model.policy import Policy
from sigsrv.scan import collecting, judging, scan
from sigsrv.scan.options import Options
from sigsrv.scan.plan import Plan, prepare

CLUSTER = "cluster"


@dataclass(frozen=True)
class Scope:
    """What one test shows: a policy on a host. host None: the policy on the cluster."""

    policy: Policy
    host: str | None

    @property
    def name(self) -> str:
        return self.host or CLUSTER

    @property
    def key(self) -> tuple[str, str | None]:
        return self.policy.id, self.host

    def matches(self, finding: Finding) -> bool:
        """Return whether this test shows a finding."""
        return finding.policy == self.policy.id and (self.host is None or finding.host == self.host)


class Scanner:
    """The single scan of a pytest session."""

    def __init__(self, config: pytest.Config) -> None:
        self._config = config
        found = catalogue.load(config.getoption("sigsrv_policies"))
        self._policies, self._checks = dict(found.policies), dict(found.checks)  # the plugin adds what pytest collects
        self._catalogue = Catalogue(self._policies, self._checks)
        added = map(Path, config.getoption("sigsrv_policies"))
        self._read = [catalogue.checks_folder(each).resolve() for each in (data.folder("policies"), *added)]
        self.shown: list[Finding] = []
        self.left_out: list[LeftOut] = []
        self.shown_scopes: set[tuple[str, str | None]] = set()
        self.has_live_checks = False
        self.live: dict[str, Policy] = {}
        self.started = time.time()

    @cached_property
    def plan(self) -> Plan:
        get = self._config.getoption
        options = Options(
            hosts=get("hosts"),
            site=get("sigsrv_site"),
            connection=get("connection"),
            ssh_config=get("ssh_config"),
            identity_file=get("ssh_identity_file"),
            sudo=get("sudo"),
            sudo_user=get("sudo_user"),
            timeout_s=get("sigsrv_timeout"),
            evidence=get("sigsrv_evidence"),
            unverified=get("sigsrv_unverified"),
            save=get("sigsrv_save"),
            filters=Filters(**{name: get(f"sigsrv_{name}") for name, _, _ in OPTIONS}),
            waivers=get("sigsrv_waivers"),
            probe=get("sigsrv_probe"),
        )
        plan = prepare(options, self._catalogue)
        for policy in plan.policies.values():
            for marker in (policy.family, policy.severity.value):
                self._config.addinivalue_line("markers", f"{marker}: policies of this family or severity")
        return plan

    def collected(self, policy_id: str, check: Check, path: Path) -> None:
        """Use a check that pytest collected from a file.

        The catalogue has read the folders of checks, and knows whether a check in them decides. A check of any other folder decides
        instead of the rule or the forms of its policy.
        """
        self._checks[policy_id] = check
        if path.resolve().parent not in self._read and policy_id in self._policies:
            self._policies[policy_id] = self._policies[policy_id].with_check

    @cached_property
    def evidences(self) -> dict[str, Evidence]:
        return collecting.collect(self.plan, keep_open=self.has_live_checks)

    def catalogue(self) -> dict[str, Policy]:
        """Return all policies, including one for each live check."""
        return {**self.plan.policies, **self.live}

    @cached_property
    def judged(self) -> tuple[Finding, ...]:
        return judging.judge(self.plan, self.evidences, self.left_out)

    @cached_property
    def findings(self) -> tuple[Finding, ...]:
        return judging.selected(self.plan, self.evidences, self.judged)

    def run(self) -> Run:
        """Return the run of the findings that tests have shown: with ``-k`` and similar options, a part of the catalogue."""
        judged = list({finding.id: finding for finding in (*self.judged, *self.shown)}.values())
        found = scan.run_of(self.plan, self.evidences, self.shown, self.started, judged, self.left_out)
        return replace(found, selected=scan.part_text(self.plan, self._selected()))

    def scopes(self, policy: Policy) -> list[Scope]:
        """Return the scopes of a policy; each one is a test."""
        return [Scope(policy, host) for host in ([h.name for h in self.plan.hosts] if policy.on_hosts else [None])]

    def _selected(self) -> str:
        """Describe which part of the catalogue the tests have shown; "" if all."""
        every = [scope for policy in self.plan.policies.values() for scope in self.scopes(policy)]
        shown = [scope for scope in every if scope.key in self.shown_scopes]
        if len(shown) == len(every) and not self.plan.selection.projects:
            return ""
        names = {scope.policy.id for scope in shown}
        everywhere = all(scope.key in self.shown_scopes for scope in every if scope.policy.id in names)
        typed = (("-k", self._config.option.keyword), ("-m", self._config.option.markexpr))
        options = [f"{name} {shlex.quote(value)}" for name, value in typed if value]
        why = " ".join(part for part in (self.plan.selection.options, *options) if part)
        what = f"{len(names)} of {len(self.plan.policies)} policies{'' if everywhere else ', not on every host'}"
        return f"{what} ({why})" if why else what
