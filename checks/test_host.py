"""Checks of HOST: the hosts themselves."""

from sigsrv import policy
from sigsrv.model.errors import EvidenceError, FailureKind

_SERVICE, _SOCKET, _STARTUP = "incus.service", "incus.socket", "incus-startup.service"


@policy("HOST-001")
def test_host_is_reachable_and_answers(facts, site, require):
    """The way to the host only: a single probe that failed is ``error`` at the policies that need it."""
    if facts.unreachable:
        require.unknown(facts.name, facts.unreachable.reason)
    elif facts.no_probe_answered:  # a login that runs nothing brings nothing back
        require.unknown(facts.name, facts.no_probe_answered.reason)
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


@policy("HOST-003")
def test_journal_of_incus_has_no_recent_errors_and_no_unit_has_failed(facts, site, require):
    """incusd writes its level in the text; that a journal is kept at all shows by its newest entry."""
    if not facts.system.has_systemd:
        reason = "the host runs without systemd: there is no journal and no unit, and nothing is known of errors"
        require.not_applicable(facts.name, reason)
        return
    hours = site.thresholds.journal_hours
    failed = [unit for unit in facts.journal.failed_units if unit != _SERVICE]  # which HOST-002 judges
    errors = [entry for entry in facts.journal.of_incus if entry.is_error]
    silent = facts.collected - facts.journal.newest
    if silent > hours * 3600:
        require.unknown(facts.name, f"the newest entry of the whole journal is {silent / 3600:.0f} hours old")
        return
    too_many = len(errors) > site.thresholds.journal_errors_max
    seen = [f"{len(errors)} error{'' if len(errors) == 1 else 's'} of {_SERVICE} in {hours} hours"]
    if too_many:
        seen.append(f"the last: {' '.join(errors[-1].message.split())[:200]}")
    if failed:
        seen.append(f"failed: {', '.join(sorted(failed))}")
    require(
        facts.name,
        not failed and not too_many,
        expected=f"at most {site.thresholds.journal_errors_max} errors of {_SERVICE} in {hours} hours, and no failed unit",
        observed="; ".join(seen),
    )
