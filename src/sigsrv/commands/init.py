"""``sigsrv init``: draft a site file from live hosts.

It reads the hosts like a scan and changes nothing on them.
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
from sigsrv.facts.limits import watching
from sigsrv.judge import catalogue
from sigsrv.model import data, site_file
from sigsrv.model.errors import UsageError
from sigsrv.model.finding import Finding, Verdict, timestamp
from sigsrv.model.site import Site, SiteHost, SitePool
from sigsrv.report import phrases
from sigsrv.scan import collecting, judging
from sigsrv.scan.options import Options
from sigsrv.scan.plan import HostAddress, Plan, local_hostname, parse_hosts, plan_for

_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]*")
_EPILOG = """\
exit status: 0 drafted, 2 wrong use, 3 drafted, but some data could not be
  read; or no host could be read, and nothing was drafted
example: sigsrv init --hosts sigsrv,minisrv --output policies/site.yaml"""


def configure(parser: argparse.ArgumentParser) -> None:
    """Add the description, the options and the epilog of the subcommand."""
    parser.description = (
        "Draft a site file from live hosts. Reads the hosts like a scan and changes\n"
        "nothing on them. The draft shows the current state: correct it before you scan.\n"
        "Weaknesses are commented out, and failures are marked."
    )
    parser.epilog = _EPILOG
    parser.add_argument(
        "--hosts",
        metavar="HOST,...",
        help="hosts, by their ssh names; or ssh://[USER@]NAME[:PORT], local://[NAME]",
    )
    parser.add_argument("--name", metavar="NAME", default="site", help="name of the site; default: site")
    parser.add_argument("--output", metavar="FILE", help="write to FILE, not to standard output")
    parser.add_argument("--force", action="store_true", help="overwrite an existing FILE")
    add_policies(parser)
    add_login(parser)
    parser.add_argument(
        "--evidence", metavar="DIR", help='draft from saved evidence instead of hosts; "demo": the shipped evidence'
    )
    parser.add_argument("--unverified", action="store_true", help="accept evidence that was changed after it was saved")
    parser.set_defaults(call=_init)


def _init(arguments: argparse.Namespace) -> int:
    options = options_of(arguments)
    output = Path(arguments.output) if arguments.output else None
    _check(arguments.name, output, arguments.force)
    plan = _plan(options)
    evidences = collecting.collect(plan)
    if all(seen.failure for seen in evidences.values()):
        return _nothing_read(evidences)
    origin = _origin(arguments.name, plan, evidences, output)
    with watching():
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
    """Refuse wrong options before any host is contacted."""
    if not name.strip():
        raise UsageError("--name: the name must not be empty")
    if output is None:
        return
    if not output.parent.is_dir():
        raise UsageError(f"--output: {output.parent}: no such folder")
    if os.path.lexists(output) and not force:
        raise UsageError(f"--output: {output}: this file exists already", "overwrite it: --force")


def _plan(options: Options) -> Plan:
    """Return a scan plan for hosts without a site file. Raises UsageError."""
    addresses: Mapping[str, HostAddress] = parse_hosts(options.hosts, local_hostname)
    if not addresses and options.evidence:
        addresses = {host: HostAddress() for host in collecting.load_saved(options)}
    if not addresses:
        raise UsageError("no host given", "sigsrv init --hosts HOST,HOST")
    for host in addresses:
        if not _NAME.fullmatch(host):
            raise UsageError(f'--hosts: "{host}" is not a valid host name', "write ssh://USER@NAME:PORT")
    # No member name is known yet, and the plan asks for everything that a site could have.
    hosts = tuple(SiteHost(host, member="") for host in addresses)
    unknown = Site("unknown", hosts, pools=(SitePool("any", "zfs"),))
    return plan_for(options, catalogue.load(options.policies), unknown, addresses)


def _origin(name: str, plan: Plan, evidences: Mapping[str, Evidence], output: Path | None) -> draft.Origin:
    options = {host.name: _way(host.name, plan, output) for host in plan.hosts}
    ports = [f"{host} uses port {way.port}" for host, way in plan.addresses.items() if way.port]
    notes = [f"{', '.join(ports)}: a site file can't contain ports, use your ssh configuration"] if ports else []
    given = (
        ("--ssh-identity-file", plan.options.identity_file),
        ("--connection", plan.options.connection),
        ("--sudo-user", plan.options.sudo_user),
    )
    if named := [option for option, value in given if value]:
        notes.append(f"a site file can't contain {', '.join(named)}: pass it to each command")
    at = timestamp(max(seen.collected for seen in evidences.values()))
    return draft.Origin(name, at, options, tuple(notes))


def _way(host: str, plan: Plan, output: Path | None) -> dict[str, object]:
    """Return the connection options of a host that a site file can contain."""
    options, found = plan.options, dict[str, object]()
    if user := plan.addresses[host].user:
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
    """Judge like a scan with the drafted site, on the probes that such a scan runs."""
    asked = {
        host.name: {probe.id for probe in select(collecting.probe_options(plan.site, host.name))} for host in plan.hosts
    }
    kept = {
        name: replace(seen, probes={key: answer for key, answer in seen.probes.items() if key in asked[name]})
        for name, seen in evidences.items()
        if name in asked
    }
    return judging.judge(plan, kept)


def _nothing_read(evidences: Mapping[str, Evidence]) -> int:
    for host, seen in evidences.items():
        reason = seen.failure.reason if seen.failure else ""
        print(phrases.visible(f"sigsrv: not read: {host}: {reason}"), file=sys.stderr)
    print("sigsrv: error: no host could be read; nothing was drafted, and no file was written", file=sys.stderr)
    return UNKNOWN


def _write(text: str, output: Path | None, force: bool) -> None:
    if output is None:
        sys.stdout.buffer.write(text.encode())  # YAML is UTF-8, independent of the terminal
        return
    try:
        data.write_private(output, text, replace=force)
    except OSError as cause:
        raise UsageError(f"--output: {output}: {cause.strerror}") from cause


def _summary(document: Document, findings: tuple[Finding, ...], output: Path | None) -> None:
    """Print the summary and the next step to standard error."""
    failed = sum(finding.verdict is Verdict.FAIL for finding in findings)
    unknown = sum(finding.verdict is Verdict.ERROR for finding in findings)
    lines = [f"not read: {line}" for line in document.unread]
    lines += [
        f"{phrases.count(document.written, 'entry', 'entries')} drafted, {document.commented} commented out for you to decide",
        f"{phrases.count(failed, 'finding fails', 'findings fail')} already, {unknown} could not be determined",
        f"next: correct {output or 'it'}, then: sigsrv scan --site {output or 'FILE'}",
    ]
    for line in lines:
        print(f"sigsrv: {phrases.visible(line)}", file=sys.stderr)
