"""Checks of HOST: the connection to the host, the Incus service and the journal."""

from sigsrv import HostFacts, Require, Site, policy
from sigsrv.model.errors import EvidenceError, FailureKind

_SERVICE, _SOCKET, _STARTUP = "incus.service", "incus.socket", "incus-startup.service"


@policy("HOST-001")
def test_host_is_reachable_and_answers(facts: HostFacts, site: Site, require: Require) -> None:
    """Looks at the login, and at whether at least one probe answered.

    If a single probe failed, the policies that need it report an error.
    """
    if facts.unreachable:
        require.unknown(facts.name, facts.unreachable.reason)
    elif facts.no_probe_answered:  # the account can log in, but not run commands
        require.unknown(facts.name, facts.no_probe_answered.reason)
    else:
        require(facts.name, True, expected="the host answers", observed="the host answered")


@policy("HOST-002")
def test_incus_service_is_active_and_starts_at_boot(facts: HostFacts, site: Site, require: Require) -> None:
    """Looks at the answer of the Incus API, and at what systemd reports about the service, its socket and incus-startup.

    The API must answer, the service must run without a failed result, and a target must start one of the three units at boot.
    """
    down = _why_down(facts)
    if not facts.system.has_systemd:
        require(
            facts.name,
            down is None,
            expected="the Incus API answers",
            observed="the Incus API answers" if down is None else down,
            reason="the host runs without systemd, so only the answer of the API is checked",
        )
        return
    service = facts.system.unit(_SERVICE)
    faults = [] if down is None else [down]
    running = service.active == "active" and service.sub == "running"
    if service.load == "masked" or service.file_state == "masked":
        faults.append(f"{_SERVICE} is masked")
    # An inactive service is fine while its socket is active: the socket starts the daemon at the first request.
    if not running and not (service.active == "inactive" and down is None and _socket_is_active(facts)):
        faults.append(f"{_SERVICE} is {service.active} ({service.sub})")
    if service.result != "success":
        faults.append(f"{_SERVICE} ended with {service.result}")
    started_by = None if faults else _unit_started_at_boot(facts)
    if not faults and started_by is None:
        faults.append("no target starts it at boot")
    require(
        facts.name,
        not faults,
        expected=f"{_SERVICE} is active, the API answers, and a target starts the service at boot",
        observed="; ".join(faults) or f"active, the API answers; a target starts {started_by} at boot",
    )


def _why_down(facts: HostFacts) -> str | None:
    """Return why the daemon does not answer; None if it answers. Raises EvidenceError if that is unknown (no permission, timeout)."""
    try:
        _ = facts.incus.server
    except EvidenceError as cause:
        if cause.kind is not FailureKind.DOWN:
            raise
        return cause.reason
    return None


def _socket_is_active(facts: HostFacts) -> bool:
    return facts.system.unit(_SOCKET).active == "active"


def _unit_started_at_boot(facts: HostFacts) -> str | None:
    """Return a unit that a target starts at boot; None if no target starts one. Raises EvidenceError if a unit is unknown.

    One unit is enough, even if another one is unknown.
    """
    unknown: EvidenceError | None = None
    for name in (_SERVICE, _SOCKET, _STARTUP):
        try:
            if facts.system.unit(name).starts_at_boot:
                return name
        except EvidenceError as cause:
            unknown = cause
    if unknown:
        raise unknown
    return None
