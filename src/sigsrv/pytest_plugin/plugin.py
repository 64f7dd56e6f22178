"""``pytest checks``. One test shows one policy on one host, or once on the cluster.

It scans once, before the first check runs, and shows what was found; without a check among the tests it does nothing. pytest's
exit codes stay as they are: 1 for fail and error, 4 wrong use.
"""

from __future__ import annotations

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
from sigsrv.report import phrases, publish, text
from sigsrv.scan import judging
from sigsrv.scan.plan import Plan

_SCANNER = pytest.StashKey[Scanner]()
_WRONG_USE = pytest.StashKey[UsageError]()
_REPORT = pytest.StashKey[tuple[Run, Path]]()


def pytest_addoption(parser: pytest.Parser) -> None:
    group = parser.getgroup("sigsrv", "compliance of Incus hosts (the hosts are --hosts, see testinfra)")
    group.addoption(
        "--site",
        dest="sigsrv_site",
        metavar="FILE",
        help="the site file; else $SIGSRV_SITE, policies/site.yaml, /etc/sigsrv/site.yaml",
    )
    group.addoption(
        "--waivers",
        dest="sigsrv_waivers",
        metavar="FILE",
        help="the file of waivers; else waivers.yaml beside the site file",
    )
    group.addoption(
        "--evidence",
        dest="sigsrv_evidence",
        metavar="DIR",
        help='judge saved evidence instead of hosts; "demo": the shipped one',
    )
    group.addoption(
        "--unverified", dest="sigsrv_unverified", action="store_true", help="judge evidence that was changed"
    )
    group.addoption(
        "--probe",
        dest="sigsrv_probe",
        action="store_true",
        help="also send frames between throw-away namespaces of the hosts, as root there; they are taken away again",
    )
    group.addoption("--save", dest="sigsrv_save", metavar="DIR", help="keep the evidence there, for --evidence")
    group.addoption(
        "--report-dir", dest="sigsrv_out", metavar="DIR", help="where runs are written; default: reports/out"
    )
    group.addoption(
        "--timeout-s",
        dest="sigsrv_timeout",
        type=float,
        metavar="S",
        help="seconds for each host; default: the site's, 15",
    )
    group.addoption(
        "--policies",
        dest="sigsrv_policies",
        metavar="DIR",
        action="append",
        default=[],
        help="a folder of further policies, <family>/<ID>.yaml, and their checks, checks/test_*.py; repeatable",
    )
    group.addoption(
        "--shipped-checks",
        dest="sigsrv_shipped",
        action="store_true",
        help="without a path, run the checks that came with sigsrv, from wherever it is installed (sigsrv pytest)",
    )
    for name, metavar, said in OPTIONS:
        choices = [each.value for each in Severity] if name == "severity" else None
        group.addoption(f"--{name}", dest=f"sigsrv_{name}", metavar=metavar, choices=choices, help=said)


@pytest.hookimpl(tryfirst=True)
def pytest_load_initial_conftests(early_config: pytest.Config, args: list[str]) -> None:
    """With ``--shipped-checks`` and no path, the path is that of the shipped checks."""
    known = early_config.known_args_namespace
    if known.sigsrv_shipped and not known.file_or_dir:
        known.file_or_dir = [str(data.folder("checks"))]
        args += known.file_or_dir


def pytest_configure(config: pytest.Config) -> None:
    """Where the shipped checks are run, those of added folders are as well."""
    shipped = data.folder("checks")
    if not config.getoption("sigsrv_policies") or shipped not in [Path(argument).resolve() for argument in config.args]:
        return
    config.option.importmode = "importlib"  # each folder may have a test_net.py
    folders = [catalogue.checks_folder(Path(given)) for given in config.getoption("sigsrv_policies")]
    config.args += [str(each) for each in folders if each.is_dir() and str(each) not in config.args]


def _scanner(config: pytest.Config) -> Scanner:
    if _SCANNER not in config.stash:
        config.stash[_SCANNER] = Scanner(config)
    return config.stash[_SCANNER]


@pytest.hookimpl(wrapper=True, tryfirst=True)
def pytest_generate_tests(metafunc: pytest.Metafunc) -> Generator[None, Any, Any]:
    """One test for each policy and host; a test of the user's that takes testinfra's ``host`` gets our sessions as hosts."""
    config = metafunc.config
    policy_id = policy_of(metafunc.function)
    rules = hasattr(metafunc.function, "sigsrv_rules")
    live = "_testinfra_host" in metafunc.fixturenames and live_checks.is_ours(metafunc.definition.path, config)
    if not (policy_id or rules or live):
        return (yield)
    try:
        scanner = _scanner(config)
        if policy_id:
            scanner.checks[policy_id] = metafunc.function
        plan = scanner.plan
        if policy_id and policy_id not in plan.policies:
            raise UsageError(f"{metafunc.definition.nodeid}: there is no policy {policy_id}")
    except UsageError as cause:
        # Told at the end of the collection: here it would be the error of one file, with exit code 2.
        config.stash[_WRONG_USE] = cause
        metafunc.parametrize("_testinfra_host" if live else "facts", [])
        with live_checks.no_hosts(metafunc):
            return (yield)
    if live:
        with live_checks.through_sessions(config, [host.name for host in plan.hosts]):
            return (yield)
    policies = [p for p in plan.policies.values() if p.rule is not None] if rules else [plan.policies[str(policy_id)]]
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
    """Leave out what was not selected, and a check whose policy an added folder replaced by one with a rule."""
    if _SCANNER not in config.stash or _WRONG_USE in config.stash:
        return
    selection = config.stash[_SCANNER].plan.selection
    kept: list[pytest.Item] = []
    left: list[pytest.Item] = []
    for item in items:
        scope = _scope_of(item)
        if scope and scope.policy.rule is not None and not hasattr(getattr(item, "function", None), "sigsrv_rules"):
            continue
        policy = scope.policy if scope else live_checks.policy_for(item) if live_checks.host_of(item) else None
        (kept if policy is None or selection.has(policy) else left).append(item)
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
        _ = scanner.findings
        _tell_expected(config, scanner.plan)
    except UsageError as cause:
        raise pytest.UsageError(phrases.visible(str(cause), keep="\n")) from None


def _tell_expected(config: pytest.Config, plan: Plan) -> None:
    """Let the short summary tell of what is waived (an expected failure), unless the user said what it is to tell of."""
    reporter = config.pluginmanager.get_plugin("terminalreporter")
    if plan.waivers and reporter and config.option.reportchars == "fE":  # pytest's default
        reporter.reportchars += "x"


@pytest.hookimpl(tryfirst=True)
def pytest_pyfunc_call(pyfuncitem: pytest.Function) -> bool | None:
    """Show what the policy found in this scope; the check itself ran when the facts were judged."""
    scope = _scope_of(pyfuncitem)
    if scope is None:
        return None
    scanner = _scanner(pyfuncitem.config)
    found = [finding for finding in scanner.findings if scope.holds(finding)]
    scanner.shown += found
    scanner.shown_scopes.add(scope.key)
    wrong = [finding for finding in found if finding.verdict in (Verdict.FAIL, Verdict.ERROR)]
    if wrong or not found:
        pytest.fail(
            "\n".join(_told(finding) for finding in wrong) or f"{scope.policy.id} found nothing on {scope.name}",
            pytrace=False,
        )
    if accepted := [phrases.visible(phrases.waived(finding)) for finding in found if finding.verdict is Verdict.WAIVED]:
        pytest.xfail("; ".join(accepted))
        pytest.fail("\n".join(accepted), pytrace=False)  # with --runxfail the line above does nothing
    if all(finding.verdict is Verdict.NOT_APPLICABLE for finding in found):
        pytest.skip("; ".join(dict.fromkeys(phrases.visible(finding.reason) for finding in found)))
    return True


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(item: pytest.Item, call: pytest.CallInfo[None]) -> Generator[None, Any, Any]:
    """What a live check of the user's found is a finding too."""
    report = yield
    if host := live_checks.host_of(item):
        finding = live_checks.finding_for(item, host, call, report)
        if finding:
            scanner = _scanner(item.config)
            (finding,) = judging.waive(scanner.plan, scanner.evidences, [finding])
            scanner.shown.append(finding)
            if finding.verdict is Verdict.WAIVED and not item.config.option.runxfail:
                report.outcome, report.wasxfail = "skipped", phrases.visible(phrases.waived(finding))
    return report


def _told(finding: Finding) -> str:
    """A finding in the words of a test's failure."""
    lines = [f"{finding.id}: {phrases.LABELS[finding.verdict]}: {finding.title}"]
    parts = (
        ("expected", finding.expected),
        ("observed", finding.observed),
        ("reason", finding.reason),
        ("because", finding.because or ""),
    )
    lines += [f"  {name}: {phrases.visible(value)}" for name, value in parts if value]
    if finding.remediation:
        lines.append(f"  {phrases.command(finding)}")
    return "\n".join(lines)


@pytest.fixture
def facts(request: pytest.FixtureRequest) -> Any:
    """The facts of the host, or of the cluster, that a check of a policy looks at."""
    if not isinstance(getattr(request, "param", None), Scope):
        pytest.fail('a test that takes "facts" is the check of a policy: mark it with @policy("ID")', pytrace=False)
    return request.param


@pytest.fixture
def site(request: pytest.FixtureRequest) -> Any:
    """The site: the desired topology."""
    return _scanner(request.config).plan.site


@pytest.fixture
def require() -> None:
    """What a check records its findings with; the engine hands it over when it judges the facts."""


@pytest.hookimpl(trylast=True)
def pytest_sessionfinish(session: pytest.Session) -> None:
    config = session.config
    close_all()
    if _SCANNER not in config.stash or not config.stash[_SCANNER].shown:
        return
    scanner = config.stash[_SCANNER]
    out = config.getoption("sigsrv_out")
    run = scanner.run()
    try:
        path = publish.publish(run, scanner.catalogue(), Path(out) if out else None)
    except UsageError as cause:
        raise pytest.UsageError(str(cause)) from None
    config.stash[_REPORT] = (run, path)
    if session.exitstatus == pytest.ExitCode.OK and run.exit_code:
        # all was skipped, so nothing was proven; or a host that no test failed for was not read as a whole
        unproven = pytest.ExitCode.TESTS_FAILED if run.is_judged else pytest.ExitCode.NO_TESTS_COLLECTED
        session.exitstatus = unproven


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter, config: pytest.Config) -> None:
    if _REPORT not in config.stash:
        return
    run, path = config.stash[_REPORT]
    terminalreporter.section("compliance")
    terminalreporter.write_line(f"{run.site}: {phrases.headline(run)}")
    if run.selected:
        terminalreporter.write_line(f"  selected: {phrases.visible(run.selected)}")
    for host in run.hosts:
        why = f": {phrases.visible(host.reason)}" if host.reason else ""
        terminalreporter.write_line(f"  {host.name} {phrases.state_words(host)}, {host.seconds:.1f} s{why}")
    for line in text.waivers(run):
        terminalreporter.write_line(line)
    terminalreporter.write_line(f"report: {path}")
