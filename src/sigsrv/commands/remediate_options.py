"""The command line of ``sigsrv-remediate``: its options, what they select and allow, and the command that goes on after a stop."""

from __future__ import annotations

import argparse
import contextlib
import re
import shlex
from collections.abc import Collection, Iterator
from pathlib import Path

from sigsrv.commands.options import add_connection
from sigsrv.commands.remediate_show import COMMAND
from sigsrv.model import textfile
from sigsrv.model.errors import UsageError, nearest
from sigsrv.model.finding import Severity
from sigsrv.model.ids import is_transaction_id
from sigsrv.model.site import Site
from sigsrv.remediate.effects import MAX_OBJECTS, Ceilings
from sigsrv.remediate.placing import At
from sigsrv.remediate.planning import FixRequest, failing_ids, is_policy_id
from sigsrv.remediate.remote import CONFIRM_S
from sigsrv.remediate.runs import Limits
from sigsrv.report import phrases, runs
from sigsrv.scan.options import DEMO

_STATUS = """\
exit status: 0 verified, or nothing to do; 1 not applied, refused (also with
  --plan), left out, kept by --undo, or a manual fix is needed; 2 usage error;
  3 a finding could not be determined; 4 a step failed: it was rolled back, or
  the message says that it was not
examples: sigsrv-remediate NET-001@minisrv/sigsrvbr0
  sigsrv-remediate --severity high --plan
  sigsrv-remediate --undo 20260820T140307Z-5e1f"""

CONFIRM_RANGE_S = (4.0, 3600.0)
MAX_PAUSE_S = 3600.0
MAX_REASON = 200  # characters; a line of syslog has 1 KiB
_SELECTS = frozenset(
    {"finding", "all", "severity", "from_file", "plan", "json", "undo", "abandon", "history", "report_dir", "approve"}
)
FOR_RUNS = ("yes", "reason", "outside_window")  # options of a run that an approval does not need


def request_of(arguments: argparse.Namespace) -> FixRequest:
    """Return what the arguments select. Raises UsageError."""
    ways = [bool(arguments.finding), arguments.all, bool(arguments.from_file)]
    if sum(ways) > 1:
        raise UsageError("use only one of: findings, --all, --from", "name findings, or use --all or --from FILE")
    listed = _read_failures(arguments.from_file) if arguments.from_file else None
    policies = tuple(word.upper() for word in arguments.finding if is_policy_id(word))
    findings = tuple(word for word in arguments.finding if not is_policy_id(word))
    severity = Severity(arguments.severity) if arguments.severity else None
    if severity and findings:
        raise UsageError(
            f"--severity: not allowed with the finding {findings[0]}",
            "--severity works with policies, --all and --from",
        )
    return FixRequest(findings, policies, severity, arguments.all, listed, At(arguments.at))


def _read_failures(file: str) -> frozenset[str]:
    with _named_from():
        runs.check(Path(file))
        return failing_ids(textfile.read_json(Path(file), runs.LIMIT_BYTES), file)


def check_origin(file: str, site: Site) -> None:
    """Raise UsageError if a findings.json is of another site: a finding of the same id would be another one."""
    with _named_from():
        saved = runs.read(Path(file))
        if not saved.is_of(site):
            kind = "the demo" if saved.evidence == DEMO else f"site {saved.site} ({saved.site_file or 'unknown file'})"
            raise UsageError(f"{file}: run {saved.id} is of {kind}, not of {site.name}", "use --site FILE, or scan")


@contextlib.contextmanager
def _named_from() -> Iterator[None]:
    """Name the option in an error about its file."""
    try:
        yield
    except UsageError as cause:
        hint = cause.hint or "name a findings.json that sigsrv scan wrote"
        raise UsageError(f"--from: {cause.message}", hint) from cause


def limits_of(arguments: argparse.Namespace) -> Limits:
    """Return what the arguments allow. Raises UsageError."""
    low, high = CONFIRM_RANGE_S
    if not low <= arguments.confirm_timeout <= high:
        raise UsageError(
            f"--confirm-timeout: {arguments.confirm_timeout:g} s is not between {low:g} and {high:g}",
            f"{CONFIRM_S} s leaves time for a login and a scan",
        )
    if not 0 <= arguments.pause <= MAX_PAUSE_S:
        raise UsageError(f"--pause: {arguments.pause:g} s is not between 0 and {MAX_PAUSE_S:g}", "0 does not pause")
    return Limits(
        confirm_s=arguments.confirm_timeout,
        ceilings=ceilings(arguments.max),
        safety_net=not arguments.no_safety_net,
        reason=reason_of(arguments),
        pause_s=arguments.pause,
        force=arguments.force,
        outside_window=arguments.outside_window,
    )


def ceilings(text: str) -> Ceilings:
    """Parse ``--max``: ``objects=10,hosts=2,restarts=3`` in any order and number; a number alone is that of objects.

    Raises UsageError for anything else.
    """
    found: dict[str, int] = {}
    for part in text.split(","):
        name, _, number = part.strip().rpartition("=")
        name = name or "objects"
        if name not in ("objects", "hosts", "restarts"):
            raise UsageError(f'--max: "{name}" is not counted', nearest(name, ("objects", "hosts", "restarts")))
        if not re.fullmatch(r"[0-9]{1,6}", number, re.ASCII) or name in found:
            raise UsageError(f'--max: "{text}" is not a limit', "write 10, or objects=10,hosts=2,restarts=3")
        found[name] = int(number)
        if name != "restarts" and not found[name]:
            raise UsageError(f"--max: {name}=0 is less than 1", "--plan changes nothing")
    return Ceilings(**found)


def reason_of(arguments: argparse.Namespace) -> str:
    """Return the text of ``--reason`` in one line; "" without the option. Raises UsageError if it can't be shown as written."""
    if arguments.reason is None:
        return ""
    text = " ".join(str(arguments.reason).split())
    if not text or len(text) > MAX_REASON or any(phrases.is_hidden(char) for char in text):
        raise UsageError(
            f"--reason: {text[:60]!r} is empty, longer than {MAX_REASON} characters or has hidden characters",
            "say why in a few words, for example with the number of a ticket",
        )
    return text


def check_ways(arguments: argparse.Namespace) -> bool:
    """Return whether the arguments select findings. Raises UsageError for arguments that exclude each other."""
    chosen = bool(arguments.finding or arguments.all or arguments.from_file or arguments.severity)
    others = [option for option in ("undo", "abandon", "history") if getattr(arguments, option)]
    if len(others) + chosen > 1:
        raise UsageError("use only one of: findings, --undo, --abandon, --history")
    if arguments.json and not (arguments.plan and chosen):
        raise UsageError("--json works only with --plan and findings", "sigsrv-remediate --all --plan --json")
    if arguments.approve is not None:
        if not chosen or arguments.plan:
            raise UsageError(
                "--approve needs the findings of the plan, and no --plan", f"{COMMAND} FINDING ... --approve HASH"
            )
        if not re.fullmatch(r"[0-9a-f]{64}", arguments.approve, re.ASCII):
            raise UsageError(
                f'--approve: "{arguments.approve}" is not the hash of a plan',
                "it has 64 digits and letters a to f, as --plan shows it",
            )
    if arguments.force and not arguments.undo:
        raise UsageError("--force works only with --undo", "sigsrv-remediate --undo RUN --force")
    if arguments.abandon and not is_transaction_id(arguments.abandon):
        raise UsageError(
            f'--abandon: "{arguments.abandon}" is not the id of a transaction',
            "it has 16 digits and letters a to f, as in the message that named the folder",
        )
    if arguments.outside_window and not arguments.reason:
        raise UsageError("--outside-window needs --reason", 'for example --outside-window --reason "ticket 4711"')
    if arguments.abandon and not arguments.reason:
        raise UsageError("--abandon needs --reason", f'{COMMAND} --abandon {arguments.abandon} --reason "why"')
    return chosen


def again(
    parser: argparse.ArgumentParser, arguments: argparse.Namespace, *words: str, without: Collection[str] = ()
) -> str:
    """Return the command line with the same options and other words, to copy.

    words: findings, for example. without: options that it does not repeat.
    """
    options: list[str] = []
    for name, value in vars(arguments).items():
        if name in _SELECTS or name in without or value == parser.get_default(name):
            continue
        option = f"--{name.replace('_', '-')}"
        if value is True:
            options.append(option)
        else:
            for each in value if isinstance(value, list) else [value]:
                options += [option, f"{each:g}" if isinstance(each, float) else str(each)]
    return shlex.join([COMMAND, *options, *words])


def new_parser() -> argparse.ArgumentParser:
    """Return the parser of the command."""
    parser = argparse.ArgumentParser(
        prog=COMMAND,
        usage=f"{COMMAND} [options] [FINDING | POLICY ...]\n"
        f"       {COMMAND} [options] --undo RUN | --abandon TRANSACTION | --history",
        description="Fixes findings: shows the plan, asks about each step, applies one step after\n"
        "the other, and verifies each on fresh facts. A step that fails is rolled back.\n"
        "Without arguments: lists the findings that scripts can fix.",
        epilog=_STATUS,
        formatter_class=_Formatter,
        add_help=False,
    )
    what = parser.add_argument_group("what to fix")
    what.add_argument("finding", nargs="*", metavar="FINDING", help="id of a finding, as in the report, or of a policy")
    what.add_argument("--all", action="store_true", help="every finding that fails and is not waived")
    severities = [severity.value for severity in Severity]
    what.add_argument(
        "--severity",
        metavar="SEVERITY",
        choices=severities,
        help=f"at least this one: {', '.join(severities)}",
    )
    what.add_argument("--from", dest="from_file", metavar="FILE", help="the failures in this findings.json")
    how = parser.add_argument_group("how to fix it")
    how.add_argument("--plan", action="store_true", help="show the plan with all scripts; change nothing")
    how.add_argument("--json", action="store_true", help="print the plan as JSON; needs --plan")
    how.add_argument("--yes", action="store_true", help="apply without asking")
    how.add_argument(
        "--at",
        metavar="PLACE",
        choices=[each.value for each in At],
        default=At.INSTANCE.value,
        help="what a profile gives: change it on the instance (default) or on the profile",
    )
    how.add_argument("--reason", metavar="TEXT", help="why, for journal and syslog; a ticket, for example")
    how.add_argument(
        "--max",
        metavar="LIMITS",
        default=str(MAX_OBJECTS),
        help=f"refuse more: N objects, default {MAX_OBJECTS}; or objects=N,hosts=N,restarts=N",
    )
    how.add_argument(
        "--pause", metavar="S", type=float, default=0.0, help="seconds between the first host of a fix and the others"
    )
    how.add_argument(
        "--confirm-timeout",
        metavar="S",
        type=float,
        default=float(CONFIRM_S),
        help=f"seconds for a new login to confirm a change; default: {CONFIRM_S}",
    )
    how.add_argument(
        "--no-safety-net",
        action="store_true",
        help="apply even if no rollback timer would survive a reboot",
    )
    how.add_argument("--approve", metavar="HASH", help="approve this plan for another person, who runs it")
    how.add_argument(
        "--outside-window", action="store_true", help="do not wait for a maintenance window; needs --reason"
    )
    past = parser.add_argument_group("past runs")
    past.add_argument("--history", action="store_true", help="list the runs")
    past.add_argument("--undo", metavar="RUN", help="undo the changes of a run")
    past.add_argument("--force", action="store_true", help="with --undo: also what somebody changed since")
    past.add_argument("--abandon", metavar="TRANSACTION", help="give up a rollback that fails; needs --reason")
    past.add_argument("--journal", metavar="FILE", help="default: journal.sqlite in the state directory")
    where = parser.add_argument_group("where")
    add_connection(where)
    where.add_argument("--report-dir", metavar="DIR", help="where the reports of the scans are, for the list")
    where.add_argument("-h", "--help", action="help", help="show this text")
    return parser


class _Formatter(argparse.RawDescriptionHelpFormatter):
    """Leaves more room for the texts, so that nearly each option takes one line of 80 columns."""

    def __init__(self, prog: str) -> None:
        super().__init__(prog, max_help_position=24)
