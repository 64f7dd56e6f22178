"""The hooks of the pytest plugin. One test shows one policy on one host, or once on the cluster.

The plugin scans once, before the first check runs, and each test shows its findings. If pytest collects no check, the plugin
does nothing. It keeps pytest's exit statuses: 1 for fail and error, 4 for wrong use, 5 if nothing was judged.
"""

from __future__ import annotations

import re
from collections.abc import Generator
from pathlib import Path
from typing import Any

import pytest

from sigsrv.collect.session import close_all
from sigsrv.judge import catalogue
from sigsrv.judge.require import policy_of
from sigsrv.judge.selecting import OPTIONS
from sigsrv.model import data
from sigsrv.model.errors import UsageError
from sigsrv.model.finding import Finding, Run, Severity, Verdict
from sigsrv.pytest_plugin import live_checks
from sigsrv.pytest_plugin.scanner import Scanner, Scope
from sigsrv.report import phrases, publish, runs, text
from sigsrv.scan import judging
from sigsrv.scan.options import seconds
from sigsrv.scan.plan import Plan

_SCANNER = pytest.StashKey[Scanner]()
_WRONG_USE = pytest.StashKey[UsageError]()
_REPORT = pytest.StashKey[tuple[Run, Path]]()
_NO_REPORT = pytest.StashKey[UsageError]()


def pytest_addoption(parser: pytest.Parser) -> None:
    group = parser.getgroup("sigsrv", "compliance of Incus hosts (--hosts selects the hosts, see testinfra)")
    group.addoption(
        "--site",
        dest="sigsrv_site",
        metavar="FILE",
        help="site file; default: $SIGSRV_SITE, policies/site.yaml, /etc/sigsrv/site.yaml",
    )
    group.addoption(
        "--waivers",
        dest="sigsrv_waivers",
        metavar="FILE",
        help="waiver file; default: waivers.yaml next to the site file",
    )
    group.addoption(
        "--evidence",
        dest="sigsrv_evidence",
        metavar="DIR",
        help='judge saved evidence instead of hosts; "demo": the shipped evidence',
    )
    group.addoption(
        "--unverified",
        dest="sigsrv_unverified",
        action="store_true",
        help="accept evidence that was changed after it was saved",
    )
    group.addoption(
        "--probe",
        dest="sigsrv_probe",
        action="store_true",
        help="also send frames between temporary namespaces on the hosts; needs root there; removes the namespaces again",
    )
    group.addoption("--save", dest="sigsrv_save", metavar="DIR", help="save the evidence in DIR, for --evidence")
    group.addoption(
        "--report-dir", dest="sigsrv_out", metavar="DIR", help="folder for the reports; default: reports/out"
    )
    group.addoption(
        "--timeout-s",
        dest="sigsrv_timeout",
        type=seconds,
        metavar="S",
        help="seconds per host, at most a day; default: the site's value, else 15",
    )
    group.addoption(
        "--policies",
        dest="sigsrv_policies",
        metavar="DIR",
        action="append",
        default=[],
        help="more policies: a folder with <family>/<ID>.yaml and checks/test_*.py; repeatable",
    )
    group.addoption(
        "--shipped-checks",
        dest="sigsrv_shipped",
        action="store_true",
        help="without a path, run the checks that are shipped with sigsrv (set by sigsrv pytest)",
    )
    for name, metavar, help_text in OPTIONS:
        choices = [each.value for each in Severity] if name == "severity" else None
        group.addoption(f"--{name}", dest=f"sigsrv_{name}", metavar=metavar, choices=choices, help=help_text)


@pytest.hookimpl(tryfirst=True)
def pytest_load_initial_conftests(early_config: pytest.Config, args: list[str]) -> None:
    """Use the folder of the shipped checks for ``--shipped-checks`` without a path."""
    known = early_config.known_args_namespace
    if known.sigsrv_shipped and not known.file_or_dir:
        known.file_or_dir = [str(data.folder("checks"))]
        args += known.file_or_dir


def pytest_configure(config: pytest.Config) -> None:
    """Run the checks of added folders together with the shipped checks."""
    shipped = data.folder("checks")
    if not config.getoption("sigsrv_policies") or shipped not in [Path(argument).resolve() for argument in config.args]:
        return
    config.option.importmode = "importlib"  # two folders may have a test_net.py each
    folders = [catalogue.checks_folder(Path(given)) for given in config.getoption("sigsrv_policies")]
    config.args += [str(each) for each in folders if each.is_dir() and str(each) not in config.args]


def _scanner(config: pytest.Config) -> Scanner:
    if _SCANNER not in config.stash:
        config.stash[_SCANNER] = Scanner(config)
    return config.stash[_SCANNER]


@pytest.hookimpl(wrapper=True, tryfirst=True)
def pytest_generate_tests(metafunc: pytest.Metafunc) -> Generator[None, Any, Any]:
    """Create one test per policy and host. A live check gets the scan's sessions as testinfra hosts."""
    config = metafunc.config
    policy_id = policy_of(metafunc.function)
    rules = hasattr(metafunc.function, "sigsrv_rules")
    live = "_testinfra_host" in metafunc.fixturenames and live_checks.belongs_to_scan(metafunc.definition.path, config)
    if not (policy_id or rules or live):
        return (yield)
    try:
        scanner = _scanner(config)
        if policy_id:
            scanner.collected(policy_id, metafunc.function, metafunc.definition.path)
        plan = scanner.plan
        if policy_id and policy_id not in plan.policies:
            raise UsageError(f"{metafunc.definition.nodeid}: there is no policy {policy_id}")
    except UsageError as cause:
        # Reported at the end of the collection. An exception here would be an error of one file, with exit status 2.
        config.stash[_WRONG_USE] = cause
        metafunc.parametrize("_testinfra_host" if live else "facts", [])
        with live_checks.without_hosts(metafunc):
            return (yield)
    if live:
        with live_checks.through_sessions(config, [host.name for host in plan.hosts]):
            return (yield)
    policies = [p for p in plan.policies.values() if p.is_declared] if rules else [plan.policies[str(policy_id)]]
    scopes = [scope for policy in policies for scope in scanner.scopes(policy)]
    metafunc.parametrize("facts", [_param(scope, rules) for scope in scopes], indirect=True)
    return (yield)


def _param(scope: Scope, rules: bool) -> Any:
    marks = [getattr(pytest.mark, name) for name in (scope.policy.family, scope.policy.severity.value)]
    return pytest.param(scope, id=f"{scope.policy.id}-{scope.name}" if rules else scope.name, marks=marks)


def _scope_of(item: pytest.Item) -> Scope | None:
    callspec = getattr(item, "callspec", None)
    scope = callspec.params.get("facts") if callspec else None
    return scope if isinstance(scope, Scope) else None


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Remove tests outside the selection, checks that a rule or a form replaced, and tests of a rule or forms that a check replaced."""
    if _SCANNER not in config.stash or _WRONG_USE in config.stash:
        return
    plan = config.stash[_SCANNER].plan
    kept: list[pytest.Item] = []
    left: list[pytest.Item] = []
    for item in items:
        scope = _scope_of(item)
        of_rules = hasattr(getattr(item, "function", None), "sigsrv_rules")
        if scope and plan.policies[scope.policy.id].is_declared is not of_rules:
            continue
        if scope and of_rules:  # so that -k finds the words of the title, as with a check, whose name has them
            item.extra_keyword_matches.add(re.sub(r"\W+", "_", scope.policy.title).lower())
        policy = scope.policy if scope else live_checks.policy_for(item) if live_checks.host_of(item) else None
        (kept if policy is None or plan.selection.has(policy) else left).append(item)
    items[:] = kept
    if left:
        config.hook.pytest_deselected(items=left)


def pytest_collection_finish(session: pytest.Session) -> None:
    """Scan all hosts at once, before the first check runs."""
    config = session.config
    if _WRONG_USE in config.stash:
        raise pytest.UsageError(phrases.visible(str(config.stash[_WRONG_USE]), keep="\n"))
    live = [item for item in session.items if live_checks.host_of(item)]
    if config.option.collectonly or not (live or any(_scope_of(item) for item in session.items)):
        return
    try:
        scanner = _scanner(config)
        scanner.has_live_checks = bool(live) and scanner.plan.options.evidence is None
        scanner.live = {policy.id: policy for policy in map(live_checks.policy_for, live)}
        publish.check_folder(_out(config))
        _ = scanner.findings
        _report_xfails(config, scanner.plan)
    except UsageError as cause:
        raise pytest.UsageError(phrases.visible(str(cause), keep="\n")) from None


def _report_xfails(config: pytest.Config, plan: Plan) -> None:
    """List waived findings (expected failures) in pytest's short summary, unless the user chose what it lists (``-r``)."""
    reporter = config.pluginmanager.get_plugin("terminalreporter")
    if plan.waivers and reporter and config.option.reportchars == "fE":  # pytest's default
        reporter.reportchars += "x"


@pytest.hookimpl(tryfirst=True)
def pytest_pyfunc_call(pyfuncitem: pytest.Function) -> bool | None:
    """Show the findings of a policy in this scope. The check itself ran earlier, when the scan judged the facts."""
    scope = _scope_of(pyfuncitem)
    if scope is None:
        return None
    scanner = _scanner(pyfuncitem.config)
    found = [finding for finding in scanner.findings if scope.matches(finding)]
    scanner.shown += found
    scanner.shown_scopes.add(scope.key)
    wrong = [finding for finding in found if finding.verdict in (Verdict.FAIL, Verdict.ERROR)]
    if wrong or not found:
        pytest.fail(
            "\n".join(_failure_text(finding) for finding in wrong)
            or f"{scope.policy.id} gave no finding on {scope.name}",
            pytrace=False,
        )
    if accepted := [
        phrases.visible(phrases.waived_text(finding)) for finding in found if finding.verdict is Verdict.WAIVED
    ]:
        pytest.xfail("; ".join(accepted))
        pytest.fail("\n".join(accepted), pytrace=False)  # --runxfail turns the line above off
    if all(finding.verdict is Verdict.NOT_APPLICABLE for finding in found):
        pytest.skip("; ".join(dict.fromkeys(phrases.visible(finding.reason) for finding in found)))
    return True


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(item: pytest.Item, call: pytest.CallInfo[None]) -> Generator[None, Any, Any]:
    """Record the outcome of a live check as a finding."""
    report = yield
    if host := live_checks.host_of(item):
        finding = live_checks.finding_for(item, host, call, report)
        if finding:
            scanner = _scanner(item.config)
            (finding,) = judging.waive(scanner.plan, scanner.evidences, [finding])
            scanner.shown.append(finding)
            if finding.verdict is Verdict.WAIVED and not item.config.option.runxfail:
                report.outcome, report.wasxfail = "skipped", phrases.visible(phrases.waived_text(finding))
    return report


def _failure_text(finding: Finding) -> str:
    """Return the failure message of a finding. An unknown that follows from a root finding names only that: it has the reason."""
    lines = [f"{finding.id}: {phrases.LABELS[finding.verdict]}: {finding.title}"]
    if finding.verdict is Verdict.ERROR and finding.because:
        return f"{lines[0]}\n  because of {finding.because}"
    parts = (
        ("expected", finding.expected),
        ("observed", finding.observed),
        ("reason", finding.reason),
    )
    lines += [f"  {name}: {phrases.visible(value)}" for name, value in parts if value]
    lines += [f"  {phrases.visible(hint)}" for hint in finding.hints]
    if finding.remediation:
        lines.append(f"  {phrases.fix_command(finding)}")
    return "\n".join(lines)


@pytest.fixture
def facts(request: pytest.FixtureRequest) -> Any:
    """Return the facts of the host or of the cluster for a check."""
    if not isinstance(getattr(request, "param", None), Scope):
        pytest.fail(
            'a test that takes "facts" must be the check of a policy: mark it with @policy("ID")', pytrace=False
        )
    return request.param


@pytest.fixture
def site(request: pytest.FixtureRequest) -> Any:
    """Return the site: the desired topology."""
    return _scanner(request.config).plan.site


@pytest.fixture
def require() -> None:
    """Stand in for the recorder of findings. The engine passes the real one to a check when it judges the facts."""


@pytest.hookimpl(trylast=True)
def pytest_sessionfinish(session: pytest.Session) -> None:
    config = session.config
    close_all()
    if _SCANNER not in config.stash or not config.stash[_SCANNER].shown:
        return
    scanner = config.stash[_SCANNER]
    run = scanner.run()
    try:
        path = publish.publish(run, scanner.catalogue(), _out(config))
    except UsageError as cause:  # an exception here would hide the failures of the tests
        config.stash[_NO_REPORT] = cause
        session.exitstatus = pytest.ExitCode.USAGE_ERROR
        return
    config.stash[_REPORT] = (run, path)
    if session.exitstatus == pytest.ExitCode.OK and run.exit_code:
        # Either every test was skipped, or a host without a failing test was only partly read: this is no proof.
        unproven = pytest.ExitCode.TESTS_FAILED if run.is_judged else pytest.ExitCode.NO_TESTS_COLLECTED
        session.exitstatus = unproven


def _out(config: pytest.Config) -> Path | None:
    given = config.getoption("sigsrv_out")
    return Path(given) if given else None


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter, config: pytest.Config) -> None:
    if _NO_REPORT in config.stash:
        terminalreporter.section("compliance")
        terminalreporter.write_line(f"ERROR: {phrases.visible(str(config.stash[_NO_REPORT]), keep=chr(10))}")
    if _REPORT not in config.stash:
        return
    run, path = config.stash[_REPORT]
    terminalreporter.section("compliance")
    terminalreporter.write_line(f"{run.site}: {phrases.headline(run)}")
    if run.selected:
        terminalreporter.write_line(f"  selected: {phrases.visible(run.selected)}")
    for host in run.hosts:
        why = f": {phrases.visible(host.reason)}" if host.reason else ""
        terminalreporter.write_line(f"  {host.name} {phrases.state_text(host)}, {host.seconds:.1f} s{why}")
    for line in text.waivers(run):
        terminalreporter.write_line(line)
    terminalreporter.write_line(f"report: {path}")
    if line := runs.note(run, config.stash[_SCANNER].plan.site, _out(config)):
        terminalreporter.write_line(phrases.visible(line))
