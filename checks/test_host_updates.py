"""Checks of HOST: security updates and reboots."""

from datetime import UTC, datetime

from sigsrv import HostFacts, Require, Site, policy
from sigsrv.model.errors import EvidenceError, FailureKind

_LISTS_DAYS = 7  # Debian's own security archive is no longer valid when it is older
_SHOWN_UPDATES = 8
_DAY_S = 24 * 3600
Faults = list[str]
Observed = list[str]


@policy("HOST-010")
def test_no_security_update_or_reboot_is_pending(facts: HostFacts, site: Site, require: Require) -> None:
    """Looks at the pending updates, the age of the package lists, and the running and installed kernels.

    On Debian and Ubuntu, apt reports the updates. On NixOS, the policy checks the age of the system and of its package set.
    """
    system = facts.machine.os
    if system.id == "nixos":
        faults, observed = _nixos(facts, site)
        days = site.thresholds.update_days
        expected = f"system and package set are at most {days} days old, and the installed kernel runs"
    elif system.is_any("debian", "ubuntu"):
        faults, observed = _debian(facts)
        expected = (
            f"no security update and no reboot is pending, with package lists that are at most {_LISTS_DAYS} days old"
        )
    else:
        reason = f"{facts.name}: sigsrv can't read the updates of {system.name}"
        raise EvidenceError(reason, FailureKind.ABSENT, facts.name)
    require(facts.name, not faults, expected=expected, observed="; ".join(faults or observed))


def _debian(facts: HostFacts) -> tuple[Faults, Observed]:
    """Check the security archives, the pending updates and the kernel of a host with apt.

    Old lists don't know of new updates, so each security archive must be young. One of them must be that of the host's own release: the
    archive of another release is young too, but has no updates for this host. Raises EvidenceError.
    """
    faults: Faults = []
    observed: Observed = []
    archives = [each for each in facts.updates.releases if each.is_security]
    release = facts.machine.os.codename
    for archive in archives:
        age = _age_days(facts, archive.made, archive.file)
        target = faults if age > _LISTS_DAYS else observed
        target.append(f"the list of {archive.codename or archive.suite} is from {_date(archive.made)}")
    if any(not release or each.secures(release) for each in archives):
        faults += _pending_updates(facts)
    else:
        faults.append(f"apt has no list of a security archive{f' of {release}' if release else ''}")
    faults += _pending_reboot(facts)
    return faults, [*observed, "no security update is pending", f"{facts.updates.boot.running.release} runs"]


def _pending_updates(facts: HostFacts) -> Faults:
    updates = facts.updates.updates
    security = sorted(f"{each.package} {each.version}" for each in updates.pending if each.is_security)
    if security:
        more = " ..." if len(security) > _SHOWN_UPDATES else ""
        count = f"{len(security)} security update{'' if len(security) == 1 else 's'} pending"
        return [f"{count}: {', '.join(security[:_SHOWN_UPDATES])}{more}"]
    if updates.kept:
        kept = ", ".join(updates.kept)
        reason = f"apt keeps back {kept} and does not report whether these are security updates (see apt-cache policy)"
        raise EvidenceError(f"{facts.name}: {reason}", host=facts.name)
    return []


def _pending_reboot(facts: HostFacts) -> Faults:
    boot = facts.updates.boot
    running, newest = boot.running.release, boot.newest
    if boot.wanted:
        return ["a package requests a reboot (/run/reboot-required)"]
    if newest is None:
        reason = f"/boot has no kernel of the kind that runs ({running}), so it is unknown whether there is a newer one"
        raise EvidenceError(f"{facts.name}: {reason}", FailureKind.ABSENT, facts.name)
    if newest.order > boot.running.order:
        return [f"kernel {running} runs, {newest.release} is installed"]
    if boot.built_from and boot.package and boot.built_from != boot.package:
        return [f"kernel {running} runs in version {boot.built_from}, version {boot.package} is installed"]
    return []


def _nixos(facts: HostFacts, site: Site) -> tuple[Faults, Observed]:
    """Check the age of a NixOS system and whether it runs what is installed.

    A rebuild from an old package set makes a new profile, so both must be young. ``nixos-rebuild boot`` changes only the profile, which
    is the system for the next boot. Raises EvidenceError.
    """
    system, limit = facts.updates.nixos, site.thresholds.update_days
    faults: Faults = []
    observed: Observed = [f"version {system.version}"]
    for what, when in (("profile", system.switched), ("package set", system.nixpkgs)):
        if when is not None:
            age = _age_days(facts, when, f"the {what}")
            target = faults if age > limit else observed
            target.append(f"the {what} is from {_date(when)}")
    if system.nixpkgs is None and not faults:
        reason = f"{facts.name}: version {system.version} does not contain the date of its package set"
        raise EvidenceError(reason, host=facts.name)
    if system.booted != system.current:
        faults.append(f"kernel {system.booted} runs, {system.current} is installed")
    if system.running not in system.next:
        faults.append(f"{system.running} runs, {system.next[0]} is the system for the next boot")
    return faults, observed


def _age_days(facts: HostFacts, when: float, what: str) -> float:
    """Return the age of something in days. Raises EvidenceError if it is more than a day in the future."""
    age = (facts.collected - when) / _DAY_S
    if age < -1:
        raise EvidenceError(f"{facts.name}: {what} has a date in the future: {_date(when)}", host=facts.name)
    return age


def _date(when: float) -> str:
    return datetime.fromtimestamp(when, UTC).strftime("%Y-%m-%d")
