"""What a scan is to do, read and checked before the first host is asked."""

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
    """How a host was named on the command line. connection: ``ssh``, ``local``, another of testinfra's; None: as ever."""

    connection: str | None = None
    user: str = ""
    port: int | None = None


@dataclass(frozen=True)
class Plan:
    """All that a scan needs, read and found in order before the first host is asked. reached: by the host's name."""

    site: Site
    hosts: tuple[SiteHost, ...]
    reached: Mapping[str, HostAddress]
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
    """Read policies, checks, site and waivers. found: the catalogue, where it was read before.

    Raises UsageError; then nothing was scanned.
    """
    if options.probe and options.evidence is not None:
        raise UsageError("--probe: evidence that was saved sends no frames", "leave out --probe, or --evidence")
    content = found or catalogue.load(options.policies)
    demo = options.evidence == DEMO
    path = data.DEMO / "site.yaml" if demo and options.site is None else site_file.find(options.site)
    desired = site_file.load(path, content.policies)
    accepted = waiver.find(options.waivers, path)
    waivers = waiver.load(accepted, content.policies, desired.waivers_max_days) if accepted else ()
    if options.evidence is None:
        waiver.check_time(waivers, time.time(), desired.waivers_max_days)
    return planned(options, content, desired, named(options.hosts, partial(_this_host, desired)), waivers)


def planned(
    options: Options,
    content: Catalogue,
    desired: Site,
    reached: Mapping[str, HostAddress],
    waivers: tuple[Waiver, ...] = (),
) -> Plan:
    """The plan for a site, which there need be no file of. reached: as ``named`` has it. Raises UsageError."""
    if options.connection:
        _check_connection(options.connection)
    for option, file in (("--ssh-config", options.ssh_config), ("--ssh-identity-file", options.identity_file)):
        if file and not Path(file).is_file():
            raise UsageError(f"{option}: {file}: no such file")
    selection = selecting.choose(options.filters, content.policies, desired.profiles)
    hosts = desired.select(",".join(reached) if reached else options.hosts)
    return Plan(desired, hosts, reached, content, selection, options, waivers)


def _check_connection(name: str) -> None:
    from testinfra.backend import BACKENDS  # only who names one waits for the import

    if name not in (*BACKENDS, "openssh"):
        raise UsageError(f'--connection: "{name}" is no connection of testinfra', nearest(name, BACKENDS))


def named(hosts: str | None, this_host: Callable[[], str]) -> dict[str, HostAddress]:
    """How each host of ``--hosts`` is to be reached, by its name. this_host: the name of the machine itself, for ``local://``.

    Raises UsageError for another scheme than ssh and local.
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
            hint = "NAME, ssh://[USER@]NAME[:PORT] or local://[NAME]"
            raise UsageError(f'--hosts: "{spec}" is no way to a host', hint)
    return found


def own_name() -> str:
    """The name of this machine, without its domain."""
    return socket.gethostname().partition(".")[0]


def _this_host(desired: Site) -> str:
    """The host of the site that this machine is."""
    names = [host.name for host in desired.hosts]
    own = own_name()
    if own in names:
        return own
    if len(names) == 1:
        return names[0]
    raise UsageError(
        f"--hosts: this machine ({own}) is no host of site {desired.name}", f"local://NAME, one of {', '.join(names)}"
    )
