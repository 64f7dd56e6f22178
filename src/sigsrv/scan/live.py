"""The evidence of live hosts: how each is reached, what is asked there, and frames where that was wanted."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from sigsrv.collect import frames
from sigsrv.collect.evidence import Evidence
from sigsrv.collect.hosts import collect_all
from sigsrv.collect.probes import Probe
from sigsrv.collect.session import close_all
from sigsrv.collect.target import Target
from sigsrv.model.site import SiteHost
from sigsrv.scan import probing
from sigsrv.scan.judging import facts_of
from sigsrv.scan.plan import HostAddress, Plan


def target(host: SiteHost, plan: Plan) -> Target:
    """How a host is reached: what the user says wins over the site file."""
    options = plan.options
    named = plan.reached.get(host.name, HostAddress())
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


def collect(plan: Plan, probes: Mapping[str, Sequence[Probe]], keep_open: bool) -> dict[str, Evidence]:
    """Ask all hosts of the plan at the same time; with ``--probe`` frames are sent between them afterwards.

    probes: by host. keep_open: leave the sessions open for a user's own checks.
    """
    targets = [(target(host, plan), host.member, probes[host.name]) for host in plan.hosts]
    found = collect_all(targets, keep_open or plan.options.probe)
    return _probed(plan, found, keep_open) if plan.options.probe else found


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
