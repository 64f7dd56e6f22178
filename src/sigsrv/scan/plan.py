"""The plan of a scan. It is read and checked before sigsrv contacts the first host."""

from __future__ import annotations

import re
import socket
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import partial
from pathlib import Path

from sigsrv.judge import catalogue, selecting
from sigsrv.judge.catalogue import Catalogue
from sigsrv.judge.require import Check
from sigsrv.judge.selecting import Selection
from sigsrv.model import data, site_file, waiver
from sigsrv.model.errors import UsageError, nearest
from sigsrv.model.finding import Waiver
from sigsrv.model.policy import Policy
from sigsrv.model.site import Site, SiteHost
from sigsrv.scan.options import DEMO, Options


@dataclass(frozen=True)
class HostAddress:
    """A host as the command line gives it. connection: ``ssh``, ``local`` or another testinfra backend; None: the default."""

    connection: str | None = None
    user: str = ""
    port: int | None = None


@dataclass(frozen=True)
class Plan:
    """Everything that a scan needs, already checked. addresses: by host name; empty: all hosts of the site."""

    site: Site
    hosts: tuple[SiteHost, ...]
    addresses: Mapping[str, HostAddress]
    catalogue: Catalogue
    selection: Selection
    options: Options
    waivers: tuple[Waiver, ...] = ()

    @property
    def policies(self) -> Mapping[str, Policy]:
        return self.catalogue.policies

    @property
    def checks(self) -> Mapping[str, Check]:
        return self.catalogue.checks


def prepare(options: Options, found: Catalogue | None = None) -> Plan:
    """Read policies, checks, site file and waivers. found: the catalogue, if the caller has already read it.

    Raises UsageError before anything is scanned.
    """
    if options.probe and options.evidence is not None:
        raise UsageError("--probe can't be used with --evidence: it needs live hosts", "leave out one of them")
    content = found or catalogue.load(options.policies)
    demo = options.evidence == DEMO
    path = data.DEMO / "site.yaml" if demo and options.site is None else site_file.find(options.site)
    desired = site_file.load(path, content.policies)
    accepted = waiver.find(options.waivers, path)
    waivers = waiver.load(accepted, content.policies, desired.waivers_max_days) if accepted else ()
    if options.evidence is None:
        waiver.check_time(waivers, time.time(), desired.waivers_max_days)
    return plan_for(options, content, desired, parse_hosts(options.hosts, partial(_this_host, desired)), waivers)


def plan_for(
    options: Options,
    content: Catalogue,
    desired: Site,
    addresses: Mapping[str, HostAddress],
    waivers: tuple[Waiver, ...] = (),
) -> Plan:
    """Return the plan for a site, which may exist without a file. addresses: from ``parse_hosts``. Raises UsageError."""
    if options.connection:
        _check_connection(options.connection)
    for option, file in (("--ssh-config", options.ssh_config), ("--ssh-identity-file", options.identity_file)):
        if file and not Path(file).is_file():
            raise UsageError(f"{option}: {file}: no such file")
    selection = selecting.choose(options.filters, content.policies, desired.profiles)
    hosts = desired.select(",".join(addresses) if addresses else options.hosts)
    return Plan(desired, hosts, addresses, content, selection, options, waivers)


def _check_connection(name: str) -> None:
    from testinfra.backend import BACKENDS  # a slow import, needed only with --connection

    if name not in (*BACKENDS, "openssh"):
        raise UsageError(f'--connection: testinfra has no connection "{name}"', nearest(name, BACKENDS))


def parse_hosts(hosts: str | None, this_host: Callable[[], str]) -> dict[str, HostAddress]:
    """Parse ``--hosts``; return how to reach each host, by name. this_host: returns the name of this machine, for ``local://``.

    Raises UsageError for any scheme other than ssh and local.
    """
    found = {}
    for spec in (part.strip() for part in (hosts or "").split(",") if part.strip()):
        scheme, mark, rest = spec.partition("://")
        if not mark:
            found[spec] = HostAddress()
        elif scheme == "local":
            found[rest or this_host()] = HostAddress("local")
        elif scheme == "ssh" and (
            match := re.fullmatch(r"(?:([^@\s-][^@\s]*)@)?([^@:/\s-][^@:/\s]*)(?::(\d{1,5}))?", rest)
        ):
            found[match[2]] = HostAddress("ssh", match[1] or "", int(match[3]) if match[3] else None)
        else:
            hint = "write NAME, ssh://[USER@]NAME[:PORT] or local://[NAME]"
            raise UsageError(f'--hosts: "{spec}" is not a valid host', hint)
    return found


def local_hostname() -> str:
    """Return the host name of this machine, without the domain."""
    return socket.gethostname().partition(".")[0]


def _this_host(desired: Site) -> str:
    """Return the host of the site that is this machine: the one with its name, or the only host of the site.

    Raises UsageError if there is no such host.
    """
    names = [host.name for host in desired.hosts]
    own = local_hostname()
    if own in names:
        return own
    if len(names) == 1:
        return names[0]
    raise UsageError(
        f"--hosts: this machine ({own}) is not a host of site {desired.name}",
        f"name the host: local://NAME, one of {', '.join(names)}",
    )
