"""``sigsrv init``, which drafts a site file from live hosts.

It asks the hosts as a scan does, and changes nothing on them.
"""

from __future__ import annotations

import argparse
import os
import re
import sys
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path

from sigsrv.collect.evidence import Evidence
from sigsrv.collect.probes import select
from sigsrv.commands.options import add_login, add_policies, options_of
from sigsrv.commands.terminal import COMPLIANT, UNKNOWN
from sigsrv.draft import draft
from sigsrv.draft.document import Document
from sigsrv.judge import catalogue
from sigsrv.model import data, site_file
from sigsrv.model.errors import UsageError
from sigsrv.model.finding import Finding, Verdict, timestamp
from sigsrv.model.site import Site, SiteHost, SitePool
from sigsrv.report import phrases
from sigsrv.scan import collecting, judging
from sigsrv.scan.options import Options
from sigsrv.scan.plan import HostAddress, Plan, named, own_name, planned

_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]*")
_EPILOG = """\
exit status: 0 drafted, 2 wrong use, 3 drafted without what could not be read
example: sigsrv init --hosts sigsrv,minisrv --output policies/site.yaml"""


def configure(parser: argparse.ArgumentParser) -> None:
    """Give the subcommand its description and its options."""
    parser.description = (
        "Asks hosts as a scan does, changes nothing there, and drafts the site file: what\n"
        "was found, for a person to correct. What is a weakness is commented out, and\n"
        "what fails already is marked."
    )
    parser.epilog = _EPILOG
    parser.add_argument(
        "--hosts",
        metavar="HOST,...",
        help="the hosts, by what ssh takes for them; or ssh://[USER@]NAME[:PORT], local://[NAME]",
    )
    parser.add_argument("--name", metavar="NAME", default="site", help="the name of the site; default: site")
    parser.add_argument("--output", metavar="FILE", help="write it there, not to standard output")
    parser.add_argument("--force", action="store_true", help="overwrite that file")
    add_policies(parser)
    add_login(parser)
    parser.add_argument(
        "--evidence", metavar="DIR", help='draft from saved evidence instead of hosts; "demo": the shipped one'
    )
    parser.add_argument(
        "--unverified", action="store_true", help="take evidence although it was changed since it was saved"
    )
    parser.set_defaults(call=_init)


def _init(arguments: argparse.Namespace) -> int:
    options = options_of(arguments)
    output = Path(arguments.output) if arguments.output else None
    _check(arguments.name, output, arguments.force)
    plan = _plan(options)
    evidences = collecting.collect(plan)
    origin = _origin(arguments.name, plan, evidences, output)
    document = draft.draft(draft.facts_of(evidences), origin)
    path = output or Path("site.yaml")
    above = draft.head(document, origin, evidences)
    modeline = data.modeline("site", output.parent if output else None)
    drafted = site_file.loads(modeline + document.text(above, {}, ()), path, plan.policies)
    findings = _judged(replace(plan, site=drafted, hosts=drafted.hosts), evidences)
    at, below = draft.marks(document, findings, plan.policies)
    text = modeline + document.text(above, at, below)
    assert site_file.loads(text, path, plan.policies) == drafted, "a mark changed what it marks"
    _write(text, output, arguments.force)
    _summary(document, findings, output)
    return UNKNOWN if document.unread else COMPLIANT


def _check(name: str, output: Path | None, force: bool) -> None:
    """Refuse what would fail in the end, before a host is asked."""
    if not name.strip():
        raise UsageError("--name: a site has a name")
    if output is None:
        return
    if not output.parent.is_dir():
        raise UsageError(f"--output: {output.parent}: no such folder")
    if os.path.lexists(output) and not force:
        raise UsageError(f"--output: {output}: is there already", "--force overwrites it")


def _plan(options: Options) -> Plan:
    """What a scan of the hosts would be, if there were a site. Raises UsageError."""
    reached: Mapping[str, HostAddress] = named(options.hosts, own_name)
    if not reached and options.evidence:
        reached = {host: HostAddress() for host in collecting.saved(options)}
    if not reached:
        raise UsageError("--hosts names no host", "sigsrv init --hosts HOST,HOST")
    for host in reached:
        if not _NAME.fullmatch(host):
            raise UsageError(f'--hosts: "{host}" can\'t be the name of a host in a site file', "ssh://USER@NAME:PORT")
    # Nothing is known yet: no member's name, and whatever a site could have is asked for.
    hosts = tuple(SiteHost(host, member="") for host in reached)
    unknown = Site("unknown", hosts, pools=(SitePool("any", "zfs"),))
    return planned(options, catalogue.load(options.policies), unknown, reached)


def _origin(name: str, plan: Plan, evidences: Mapping[str, Evidence], output: Path | None) -> draft.Origin:
    options = {host.name: _way(host.name, plan, output) for host in plan.hosts}
    ports = [f"{host} is reached at port {way.port}" for host, way in plan.reached.items() if way.port]
    notes = [f"{', '.join(ports)}: a site file has no port, put it into your ssh configuration"] if ports else []
    given = (
        ("--ssh-identity-file", plan.options.identity_file),
        ("--connection", plan.options.connection),
        ("--sudo-user", plan.options.sudo_user),
    )
    if named := [option for option, value in given if value]:
        notes.append(f"a site file does not hold {', '.join(named)}: give that to each command")
    at = timestamp(max(seen.collected for seen in evidences.values()))
    return draft.Origin(name, at, options, tuple(notes))


def _way(host: str, plan: Plan, output: Path | None) -> dict[str, object]:
    """What of the command line a site file can say of the way to a host."""
    options, found = plan.options, dict[str, object]()
    if user := plan.reached[host].user:
        found["address"] = f"{user}@{host}"
    if options.ssh_config:
        config = Path(options.ssh_config).resolve()
        folder = output.parent.resolve() if output else None
        beside = folder is not None and folder in config.parents
        found["ssh_config"] = os.path.relpath(config, folder) if beside else str(config)
    if options.sudo:
        found["sudo"] = True
    if options.timeout_s:
        found["timeout_s"] = options.timeout_s
    return found


def _judged(plan: Plan, evidences: Mapping[str, Evidence]) -> tuple[Finding, ...]:
    """What a scan with the drafted site would find: of the evidence, only what that scan asks for."""
    asked = {host.name: {probe.id for probe in select(collecting.wants(plan.site, host.name))} for host in plan.hosts}
    kept = {
        name: replace(seen, probes={key: answer for key, answer in seen.probes.items() if key in asked[name]})
        for name, seen in evidences.items()
        if name in asked
    }
    return judging.judge(plan, kept)


def _write(text: str, output: Path | None, force: bool) -> None:
    if output is None:
        sys.stdout.buffer.write(text.encode())  # YAML is UTF-8, whatever the terminal's encoding is
        return
    try:
        data.write_private(output, text, replace=force)
    except OSError as cause:
        raise UsageError(f"--output: {output}: {cause.strerror}") from cause


def _summary(document: Document, findings: tuple[Finding, ...], output: Path | None) -> None:
    """What a person does next, beside the file."""
    failed = sum(finding.verdict is Verdict.FAIL for finding in findings)
    unknown = sum(finding.verdict is Verdict.ERROR for finding in findings)
    lines = [f"not read: {line}" for line in document.unread]
    lines += [
        f"{phrases.count(document.written, 'entry', 'entries')} drafted, {document.waiting} more wait for your answer",
        f"{phrases.count(failed, 'finding fails', 'findings fail')} already, {unknown} could not be determined",
        f"next: correct {output or 'it'}, then: sigsrv scan --site {output or 'FILE'}",
    ]
    for line in lines:
        print(f"sigsrv: {phrases.visible(line)}", file=sys.stderr)
