"""Checks of HOST: the hosts themselves."""

from sigsrv.errors import EvidenceError, FailureKind
from sigsrv.evaluate import policy

_SERVICE, _SOCKET, _STARTUP = "incus.service", "incus.socket", "incus-startup.service"


@policy("HOST-001")
def test_host_is_reachable_and_answers(facts, site, require):
    """The way to the host only: a single probe that failed is ``error`` at the policies that need it."""
    if facts.unreachable:
        require.unknown(facts.name, facts.unreachable.reason)
    elif facts.mute:  # a login that runs nothing brings nothing back
        require.unknown(facts.name, facts.mute.reason)
    else:
        require(facts.name, True, expected="it answers", observed="it answered")


@policy("HOST-002")
def test_incus_service_is_active_and_comes_back_at_boot(facts, site, require):
    """The daemon answers, systemd runs it without complaint, and a boot starts it again."""
    api = _api(facts)
    if not facts.system.has_systemd:
        require(
            facts.name,
            api is True,
            expected="the Incus API answers",
            observed="the Incus API answers" if api is True else api,
            reason="the host runs without systemd: the API's answer alone is judged",
        )
        return
    service = facts.system.unit(_SERVICE)
    faults = [] if api is True else [api]
    running = service.active == "active" and service.sub == "running"
    if service.load == "masked" or service.file_state == "masked":
        faults.append(f"{_SERVICE} is masked")
    if not running and not (service.active == "inactive" and api is True and _listens(facts)):
        faults.append(f"{_SERVICE} is {service.active} ({service.sub})")
    if service.result != "success":
        faults.append(f"{_SERVICE} ended with {service.result}")
    starts = [] if faults else _starting(facts)
    if not faults and not starts:
        faults.append("no target starts it at boot")
    require(
        facts.name,
        not faults,
        expected="incus.service is active, the API answers, and a target starts it at boot",
        observed="; ".join(faults) or f"active, the API answers; started at boot by {', '.join(starts)}",
    )


def _api(facts):
    """True where the daemon answers, else what is wrong. What can't be told (no right, no time) is raised."""
    try:
        version = facts.incus.server.version
    except EvidenceError as cause:
        if cause.kind is not FailureKind.DOWN:
            raise
        return cause.reason
    return bool(version)


def _listens(facts):
    """Whether the socket would start the daemon at the first request."""
    return facts.system.unit(_SOCKET).active == "active"


def _starting(facts):
    """The units that a target starts at boot. One proof is enough; without one, each of the three must have been seen."""
    missing = None
    for name in (_SERVICE, _SOCKET, _STARTUP):
        try:
            if facts.system.unit(name).starts_at_boot:
                return [name]
        except EvidenceError as cause:
            missing = cause
    if missing:
        raise missing
    return []
