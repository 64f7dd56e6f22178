"""Checks of HOST: the connection to the host, the Incus service and the journal."""

from sigsrv import HostFacts, Require, Site, policy
from sigsrv.model.errors import EvidenceError, FailureKind

_SERVICE, _SOCKET, _STARTUP = "incus.service", "incus.socket", "incus-startup.service"


@policy("HOST-002")
def test_incus_service_is_active_and_starts_at_boot(facts: HostFacts, site: Site, require: Require) -> None:
    """Looks at the answer of the Incus API, and at what systemd reports about the service, its socket and incus-startup.

    The API must answer, the service must run without a failed result, and a target must start one of the three units at boot.
    """
    expected = f"{_SERVICE} is active, the API answers, and a target starts the service at boot"
    with require.finding(facts.name, expected) as finding:
        with finding.clause():
            down = _why_down(facts)
            finding.require(down is None, down or "the API answers")
        if not facts.system.has_systemd:
            finding.note = "the host runs without systemd, so only the answer of the API is checked"
            return
        service = facts.system.unit(_SERVICE)
        if service.load == "masked" or service.file_state == "masked":
            finding.violated(f"{_SERVICE} is masked")
        if service.result != "success":
            finding.violated(f"{_SERVICE} ended with {service.result}")
        with finding.clause():
            running = service.active == "active" and service.sub == "running"
            # An inactive service is fine while its socket is active: the socket starts the daemon at the first request.
            waits = service.active == "inactive" and facts.system.unit(_SOCKET).active == "active"
            finding.require(running or waits, f"{_SERVICE} is {service.active} ({service.sub})")
        with finding.clause():
            started = _unit_started_at_boot(facts)
            finding.require(
                started is not None, f"{f'a target starts {started}' if started else 'no target starts it'} at boot"
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
