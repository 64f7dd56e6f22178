"""Live checks: a user's own testinfra tests, which use the session that the scan opened.

A live check is a test in a folder of checks that takes testinfra's ``host`` fixture. Its outcome is a finding: a passed test
gives ``pass``, a failed assertion ``fail``, a skipped test ``not-applicable``, any other exception ``error``.
"""

from __future__ import annotations

import contextlib
import inspect
import os
from collections.abc import Iterator, Sequence
from pathlib import Path

import pytest

from sigsrv.collect.session import SessionBackend, register_backend
from sigsrv.judge.catalogue import checks_folder
from sigsrv.model import data
from sigsrv.model.finding import Finding, Severity, Verdict
from sigsrv.model.policy import Policy

_PREFIX = f"{SessionBackend.NAME}://"


def belongs_to_scan(path: Path, config: pytest.Config) -> bool:
    """Return whether a testinfra test is a live check: it is in a folder of checks, or the user named a site.

    All other tests run under testinfra alone.
    """
    if config.getoption("sigsrv_site") or os.environ.get("SIGSRV_SITE"):
        return True
    added = [checks_folder(Path(folder)).resolve() for folder in config.getoption("sigsrv_policies")]
    return any(folder in path.parents for folder in (data.folder("checks"), *added))


@contextlib.contextmanager
def through_sessions(config: pytest.Config, hosts: Sequence[str]) -> Iterator[None]:
    """Replace ``--hosts`` while testinfra creates its hosts, so that each host uses the scan's session."""
    register_backend()
    option = config.option
    before = option.hosts, option.connection
    option.hosts, option.connection = ",".join(f"{_PREFIX}{host}" for host in hosts), None
    try:
        yield
    finally:
        option.hosts, option.connection = before


@contextlib.contextmanager
def without_hosts(metafunc: pytest.Metafunc) -> Iterator[None]:
    """Keep testinfra from creating hosts for a test that can't run."""
    names = metafunc.fixturenames
    present = "_testinfra_host" in names
    if present:
        names.remove("_testinfra_host")
    try:
        yield
    finally:
        if present:
            names.append("_testinfra_host")


def host_of(item: pytest.Item) -> str | None:
    """Return the host of a live check; None for any other test."""
    callspec = getattr(item, "callspec", None)
    host = callspec.params.get("_testinfra_host") if callspec else None
    backend = getattr(host, "backend", None)
    return str(backend.hostname) if isinstance(backend, SessionBackend) else None


def _id(item: pytest.Item) -> str:
    """Return the policy id of a live check: ``FILE.FUNCTION`` with pytest's names."""
    return f"{item.path.stem}.{getattr(item, 'originalname', item.name)}"


def _parameters(item: pytest.Item) -> str:
    """Return pytest's text for the parameters of a test, without testinfra's host; "" if there are none."""
    callspec = getattr(item, "callspec", None)
    if callspec is None or not set(callspec.params) - {"_testinfra_host"}:
        return ""
    host = callspec.params.get("_testinfra_host")
    name = host.backend.get_pytest_id() if host else ""
    return str(callspec.id).removeprefix(f"{name}-").removesuffix(f"-{name}")


def policy_for(item: pytest.Item) -> Policy:
    """Return a policy for a live check.

    The docstring gives title and reason. A marker with the name of a severity gives the severity (default: medium).
    """
    function = getattr(item, "function", None)
    text = inspect.getdoc(function) or getattr(item, "originalname", item.name).removeprefix("test_").replace("_", " ")
    marked = [severity for severity in Severity if item.get_closest_marker(severity.value)]
    return Policy(
        id=_id(item),
        title=text.split("\n", 1)[0].rstrip("."),
        severity=marked[0] if marked else Severity.MEDIUM,
        why=text,
        examines="host",
        match={},
        rule=None,
        expected="",
        observe="",
        traps="",
        remediation=None,
        by_hand="Ask the author of this check.",
        controls={},
        source=(f"{item.path.name}",),
        path=item.path,
    )


def finding_for(item: pytest.Item, host: str, call: pytest.CallInfo[None], report: pytest.TestReport) -> Finding | None:
    """Return the finding of a live check; None for a setup or teardown phase that passed."""
    if report.when != "call" and report.outcome == "passed":
        return None
    policy = policy_for(item)
    observed, reason = "", ""
    if report.outcome == "passed":
        verdict, observed = Verdict.PASS, "the test passed"
    elif report.outcome == "skipped":
        verdict, reason = Verdict.NOT_APPLICABLE, str(call.excinfo.value) if call.excinfo else "skipped"
    elif report.when == "call" and call.excinfo and call.excinfo.errisinstance((AssertionError, pytest.fail.Exception)):
        verdict, observed = Verdict.FAIL, str(call.excinfo.value).split("\n", 1)[0] or "the assertion failed"
    else:
        cause = call.excinfo.value if call.excinfo else None
        verdict, reason = Verdict.ERROR, f"{type(cause).__name__}: {cause}".split("\n", 1)[0]
    resource = _parameters(item) or host
    return Finding(policy.id, policy.title, policy.severity, host, resource, verdict, policy.title, observed, reason)
