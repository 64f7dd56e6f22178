"""Collects evidence from live hosts and, with ``--probe``, sends frames between them."""

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
    """Return how to reach a host. Command line options win over the site file."""
    options = plan.options
    given = plan.addresses.get(host.name, HostAddress())
    connection = given.connection or options.connection or "ssh"
    address = host.address or host.name
    if given.user:
        address = f"{given.user}@{address.rpartition('@')[2]}"
    return Target(
        name=host.name,
        address=address,
        port=given.port,
        connection="ssh" if connection in ("openssh", "safe-ssh") else connection,
        ssh_config=options.ssh_config or host.ssh_config,
        identity_file=options.identity_file,
        sudo=options.sudo or host.sudo,
        sudo_user=options.sudo_user,
        timeout_s=options.timeout_s or host.timeout_s,
        api=host.api,
    )


def collect(plan: Plan, probes: Mapping[str, Sequence[Probe]], keep_open: bool) -> dict[str, Evidence]:
    """Collect evidence from all hosts of the plan at the same time; with ``--probe``, send frames between them afterwards.

    probes: by host. keep_open: leave the sessions open for a user's own checks.
    """
    targets = [(target(host, plan), host.member, probes[host.name]) for host in plan.hosts]
    found = collect_all(targets, keep_open or plan.options.probe)
    return _probed(plan, found, keep_open) if plan.options.probe else found


def _probed(plan: Plan, found: dict[str, Evidence], keep_open: bool) -> dict[str, Evidence]:
    """Send frames between temporary namespaces over the open sessions; return the evidence with the results."""
    try:
        wanted = probing.plan_frames(plan.site, facts_of(plan, found))
        return frames.exchange(found, wanted)
    except BaseException:
        keep_open = False
        raise
    finally:
        if not keep_open:
            close_all()
