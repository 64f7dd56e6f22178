"""scan: a site's hosts -> evidence -> facts -> findings -> a run. Changes nothing on a host, but for what ``--probe`` makes and takes away.

Room: above evaluate, below what is done with findings. pytest, ``sigsrv scan`` and the verification of a fix all go through here.
"""

from __future__ import annotations

import re
import secrets
import socket
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import partial
from pathlib import Path

from testinfra.backend import BACKENDS

from sigsrv import __version__, catalogue, data, probing, selecting, site, waiver
from sigsrv.catalogue import Catalogue
from sigsrv.collect import Evidence, Failure, Target, api, close_all, collect_all, evidence, frames
from sigsrv.collect.probes import Wants, select
from sigsrv.errors import EvidenceError, FailureKind, UsageError, nearest
from sigsrv.evaluate import Check, evaluate
from sigsrv.facts import HostFacts, clusters
from sigsrv.finding import Finding, HostState, Run, Waiver, WaiverUse, ordered
from sigsrv.policy import Policy
from sigsrv.selecting import Selection, Wanted
from sigsrv.site import Site, SiteHost

DEMO = "demo"
_NAMED = 6  # how many of the probes that evidence lacks are named


@dataclass(frozen=True)
class Options:
    """What a user may say about a scan; None: what the site says. evidence: a folder, or ``demo`` for the shipped one.

    hosts: comma-separated, each ``NAME``, ``ssh://[USER@]NAME[:PORT]`` or ``local://[NAME]``; connection: as testinfra's, for those
    without a scheme. save: a folder to keep the evidence in. unverified: take evidence that was changed since it was saved.
    policies: folders beside the shipped one. wanted: the part of the catalogue that the run is to have. waivers: their file.
    probe: send frames between throw-away namespaces of the hosts, too; this alone changes something there, and takes it away.
    """

    hosts: str | None = None
    site: str | None = None
    connection: str | None = None
    ssh_config: str | None = None
    identity_file: str | None = None
    sudo: bool = False
    sudo_user: str | None = None
    timeout_s: float | None = None
    evidence: str | None = None
    unverified: bool = False
    save: str | None = None
    policies: tuple[str, ...] = ()
    wanted: Wanted = selecting.EVERYTHING
    waivers: str | None = None
    probe: bool = False


@dataclass(frozen=True)
class Reached:
    """How a host was named on the command line. connection: ``ssh``, ``local``, another of testinfra's; None: as ever."""

    connection: str | None = None
    user: str = ""
    port: int | None = None


@dataclass(frozen=True)
class Plan:
    """All that a scan needs, read and found in order before the first host is asked. reached: by the host's name."""

    site: Site
    hosts: tuple[SiteHost, ...]
    reached: Mapping[str, Reached]
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
    path = data.DEMO / "site.yaml" if demo and options.site is None else site.find(options.site)
    desired = site.load(path, content.policies)
    accepted = waiver.find(options.waivers, path)
    waivers = waiver.load(accepted, content.policies, desired.waivers_max_days) if accepted else ()
    if options.evidence is None:
        waiver.check_time(waivers, time.time(), desired.waivers_max_days)
    return planned(options, content, desired, named(options.hosts, partial(_this_host, desired)), waivers)


def planned(
    options: Options,
    content: Catalogue,
    desired: Site,
    reached: Mapping[str, Reached],
    waivers: tuple[Waiver, ...] = (),
) -> Plan:
    """The plan for a site, which there need be no file of. reached: as ``named`` has it. Raises UsageError."""
    if options.connection and options.connection not in (*BACKENDS, "openssh"):
        raise UsageError(
            f'--connection: "{options.connection}" is no connection of testinfra', nearest(options.connection, BACKENDS)
        )
    for option, file in (("--ssh-config", options.ssh_config), ("--ssh-identity-file", options.identity_file)):
        if file and not Path(file).is_file():
            raise UsageError(f"{option}: {file}: no such file")
    selection = selecting.choose(options.wanted, content.policies, desired.profiles)
    hosts = desired.select(",".join(reached) if reached else options.hosts)
    return Plan(desired, hosts, reached, content, selection, options, waivers)


def named(hosts: str | None, this_host: Callable[[], str]) -> dict[str, Reached]:
    """How each host of ``--hosts`` is to be reached, by its name. this_host: the name of the machine itself, for ``local://``.

    Raises UsageError for another scheme than ssh and local.
    """
    found = {}
    for spec in (part.strip() for part in (hosts or "").split(",") if part.strip()):
        scheme, mark, rest = spec.partition("://")
        if not mark:
            found[spec] = Reached()
        elif scheme == "local":
            found[rest or this_host()] = Reached("local")
        elif scheme == "ssh" and (
            match := re.fullmatch(r"(?:([^@\s-][^@\s]*)@)?([^@:/\s-][^@:/\s]*)(?::(\d{1,5}))?", rest)
        ):
            found[match[2]] = Reached("ssh", match[1] or "", int(match[3]) if match[3] else None)
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


def target(host: SiteHost, plan: Plan) -> Target:
    """How a host is reached: what the user says wins over the site file."""
    options = plan.options
    named = plan.reached.get(host.name, Reached())
    connection = named.connection or options.connection or "ssh"
    address = host.address or host.name
    if named.user:
        address = f"{named.user}@{address.rpartition('@')[2]}"
    return Target(
        name=host.name,
        address=address,
        port=named.port,
        connection="ssh" if connection in ("openssh", "safe-ssh") else connection,
        ssh_config=options.ssh_config or host.ssh_config,
        identity_file=options.identity_file,
        sudo=options.sudo or host.sudo,
        sudo_user=options.sudo_user,
        timeout_s=options.timeout_s or host.timeout_s,
        api=host.api,
    )


def wants(desired: Site, host: str) -> Wants:
    """What of a site decides which probes are run on one of its hosts."""
    backups = desired.backups
    return Wants(
        zfs=desired.has_zfs,
        units=tuple(dict.fromkeys(b.vlan.persisted_by for b in desired.bridges if b.vlan.persisted_by)),
        journal_hours=desired.thresholds.journal_hours,
        backups=backups.dir if backups and backups.host == host else None,
    )


def collect(plan: Plan, keep_open: bool = False) -> dict[str, Evidence]:
    """The evidence of the plan's hosts: from them, or from the folder that was named; kept, where that was asked for.

    keep_open: leave the sessions open for a user's own checks. Raises UsageError for a folder that is none.
    """
    options = plan.options
    if options.evidence:
        kept = saved(options)
        missing = Failure(FailureKind.ABSENT, f"{options.evidence}: no evidence of this host")
        at = max((each.collected for each in kept.values()), default=time.time())
        absent = {host.name: Evidence(host.name, at, failure=missing) for host in plan.hosts}
        found = {host.name: kept.get(host.name) or absent[host.name] for host in plan.hosts}
        waiver.check_time(plan.waivers, _time(found), plan.site.waivers_max_days, live=False)
    else:
        targets = [(target(host, plan), host.member, select(wants(plan.site, host.name))) for host in plan.hosts]
        found = collect_all(targets, keep_open or options.probe)
        if options.probe:
            found = _probed(plan, found, keep_open)
    if options.save:
        evidence.save(Path(options.save), new_run_id(time.time()), found)
    return found


def _probed(plan: Plan, found: dict[str, Evidence], keep_open: bool) -> dict[str, Evidence]:
    """The evidence with what throw-away namespaces told of each other, through the sessions that are open."""
    try:
        wanted = probing.wanted(plan.site, facts_of(plan, found))
        return frames.exchange(found, wanted)
    except BaseException:
        keep_open = False
        raise
    finally:
        if not keep_open:
            close_all()


def saved(options: Options) -> dict[str, Evidence]:
    """The evidence that was kept in the folder that was named, by host. Raises UsageError."""
    folder = data.DEMO / "evidence" if options.evidence == DEMO else Path(options.evidence or "")
    return evidence.load(folder, options.unverified)


def facts_of(plan: Plan, evidences: Mapping[str, Evidence]) -> dict[str, HostFacts]:
    """The facts of the plan's hosts, in the order of the site."""
    return {host.name: HostFacts(host.name, host.member, evidences[host.name]) for host in plan.hosts}


def judge(plan: Plan, evidences: Mapping[str, Evidence]) -> tuple[Finding, ...]:
    """The findings of all policies, whatever was selected: what is proven of a fix is proven of everything.

    What somebody accepts is ``waived``.
    """
    return waive(plan, evidences, evaluate(plan.policies.values(), plan.checks, plan.site, facts_of(plan, evidences)))


def waive(plan: Plan, evidences: Mapping[str, Evidence], findings: Iterable[Finding]) -> tuple[Finding, ...]:
    """Findings with those ``waived`` that a waiver of the plan accepts at the time of the evidence."""
    return waiver.decide(findings, plan.waivers, _time(evidences))


def _review(plan: Plan, evidences: Mapping[str, Evidence], judged: Sequence[Finding]) -> tuple[WaiverUse, ...]:
    left_out = {host.name for host in plan.site.hosts} - {host.name for host in plan.hosts}
    return waiver.review(plan.waivers, judged, _time(evidences), policies=plan.policies, left_out=left_out)


def _time(evidences: Mapping[str, Evidence]) -> float:
    """The time of some evidence, in seconds since the epoch: when the newest of it was collected."""
    return max(each.collected for each in evidences.values())


def selected(plan: Plan, evidences: Mapping[str, Evidence], findings: Sequence[Finding]) -> tuple[Finding, ...]:
    """The findings of what was selected. Raises UsageError where a project was named that there is not."""
    return selecting.select(plan.selection, findings, plan.policies, _projects(plan, evidences))


def _projects(plan: Plan, evidences: Mapping[str, Evidence]) -> set[str] | None:
    """The names of all projects; None where they could not be read."""
    names: set[str] = set()
    for cluster in clusters(facts_of(plan, evidences)):
        try:
            names |= {project.name for project in cluster.first(lambda incus: incus.projects)}
        except EvidenceError:
            return None
    return names


def timestamp(seconds: float) -> str:
    """A time as RFC 3339 in UTC, to the second."""
    return datetime.fromtimestamp(seconds, UTC).strftime("%Y-%m-%dT%H:%M:%SZ")


def new_run_id(now: float) -> str:
    """The id of a run: its time, and a word so that two of one second differ."""
    return f"{datetime.fromtimestamp(now, UTC):%Y%m%dT%H%M%SZ}-{secrets.token_hex(2)}"


def run_of(
    plan: Plan,
    evidences: Mapping[str, Evidence],
    findings: Sequence[Finding],
    started: float,
    judged: Sequence[Finding],
) -> Run:
    """The run of some findings. started: seconds since the epoch; judged: all that was found, whether it is in the run or not.

    Of saved evidence the run has the evidence's own time: what a reader wants to know is when the hosts were so.
    """
    began, ended = started, time.time()
    if plan.options.evidence:
        began = min(seen.collected for seen in evidences.values())
        ended = max(seen.collected + seen.seconds for seen in evidences.values())
    return Run(
        id=new_run_id(started),
        started=timestamp(began),
        finished=timestamp(ended),
        version=__version__,
        site=plan.site.name,
        hosts=tuple(_state(plan, evidences[host.name]) for host in plan.hosts),
        findings=ordered(findings),
        selected=plan.selection.text,
        waivers=_review(plan, evidences, judged),
    )


def _lacking(plan: Plan, collected: Evidence) -> list[str]:
    """What a scan of the site asks a host today, and saved evidence of it does not hold."""
    probes = [probe.id for probe in select(wants(plan.site, collected.host)) if probe.id not in collected.probes]
    return [*probes, *(address for address in (api.SERVER, *api.WANTED) if address not in collected.api)]


def _state(plan: Plan, collected: Evidence) -> HostState:
    failed, lacking = collected.failed, _lacking(plan, collected)
    state = "unreachable" if collected.failure else "partial" if failed else "ok"
    more = f" and {len(lacking) - _NAMED} more" if len(lacking) > _NAMED else ""
    reason = f"this evidence has nothing of {', '.join(lacking[:_NAMED])}{more}" if lacking else ""
    reason = collected.failure.reason if collected.failure else reason
    asked = len(collected.probes) + len(collected.api)
    return HostState(collected.host, state, collected.seconds, asked, failed, reason)


def scan(plan: Plan) -> tuple[Run, dict[str, Evidence]]:
    """Collect and judge: the run and what it stands on."""
    started = time.time()
    evidences = collect(plan)
    judged = judge(plan, evidences)
    return run_of(plan, evidences, selected(plan, evidences, judged), started, judged), evidences
