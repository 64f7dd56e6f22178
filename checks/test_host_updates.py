"""Checks of HOST: security updates and reboots."""

from datetime import UTC, date, datetime

from sigsrv import HostFacts, Require, Site, policy
from sigsrv.facts.nixos_releases import END_OF_LIFE, is_development
from sigsrv.judge.clauses import Clauses
from sigsrv.model.errors import EvidenceError, FailureKind

_LISTS_DAYS = 7  # Debian's own security archive is no longer valid when it is older
_SHOWN_UPDATES = 8
_DAY_S = 24 * 3600


@policy("HOST-010")
def test_no_security_update_or_reboot_is_pending(facts: HostFacts, site: Site, require: Require) -> None:
    """Looks at the pending updates, the age of the package lists, and the running and installed kernels.

    On Debian and Ubuntu, apt reports the updates. On NixOS, the policy checks the age of the system and of its package set, the end of life
    of the release, and whether the host runs what it has built.
    """
    days = site.thresholds.update_days
    expected = (
        f"package lists are at most {_LISTS_DAYS} days old (on NixOS: system and package set at most {days}, and a supported release), "
        "and no security update or reboot is pending"
    )
    with require.finding(facts.name, expected) as finding:
        system = None
        with finding.clause():
            system = facts.machine.os
        if system is not None and system.id == "nixos":
            _nixos(facts, finding, days)
            return
        if system is not None and not system.is_any("debian", "ubuntu"):
            reason = f"{facts.name}: sigsrv can't read the updates of {system.name}"
            raise EvidenceError(reason, FailureKind.ABSENT, facts.name)
        with finding.clause():
            _security_archives(facts, finding)
        with finding.clause():
            _pending_updates(facts, finding)
        with finding.clause():
            _pending_reboot(facts, finding)


def _security_archives(facts: HostFacts, finding: Clauses) -> None:
    """Check the security archives of apt, as the host last fetched them.

    Old lists don't know of new updates, so each security archive must be young. One of them must be that of the host's own release: the
    archive of another release is young too, but has no updates for this host.
    """
    archives = [each for each in facts.updates.releases if each.is_security]
    for archive in archives:
        with finding.clause():
            age = _age_days(facts, archive.made, archive.file)
            shown = f"the list of {archive.codename or archive.suite} is from {_date(archive.made)}"
            finding.require(age <= _LISTS_DAYS, shown)
    release = facts.machine.os.codename
    if not any(not release or each.secures(release) for each in archives):
        finding.violated(f"apt has no list of a security archive{f' of {release}' if release else ''}")


def _pending_updates(facts: HostFacts, finding: Clauses) -> None:
    updates = facts.updates.updates
    security = sorted(f"{each.package} {each.version}" for each in updates.pending if each.is_security)
    if security:
        more = " ..." if len(security) > _SHOWN_UPDATES else ""
        count = f"{len(security)} security update{'' if len(security) == 1 else 's'} pending"
        finding.violated(f"{count}: {', '.join(security[:_SHOWN_UPDATES])}{more}")
    else:
        finding.holds("apt reports no security update")
    if updates.kept:
        kept = ", ".join(updates.kept)
        reason = f"apt keeps back {kept} and does not report whether these are security updates (see apt-cache policy)"
        finding.unknown(f"{facts.name}: {reason}")


def _pending_reboot(facts: HostFacts, finding: Clauses) -> None:
    boot = facts.updates.boot
    running, newest = boot.running.release, boot.newest
    finding.holds(f"{running} runs")
    if boot.wanted:
        finding.violated("a package requests a reboot (/run/reboot-required)")
    if newest is None:
        reason = f"/boot has no kernel of the kind that runs ({running}), so it is unknown whether there is a newer one"
        finding.unknown(f"{facts.name}: {reason}")
    elif newest.order > boot.running.order:
        finding.violated(f"kernel {running} runs, {newest.release} is installed")
    if boot.built_from and boot.package and boot.built_from != boot.package:
        finding.violated(f"kernel {running} runs in version {boot.built_from}, version {boot.package} is installed")


def _nixos(facts: HostFacts, finding: Clauses, limit: int) -> None:
    """Check the release and the age of a NixOS system in days, and whether it runs what is built.

    A rebuild from an old package set makes a new profile, so both must be young. ``nixos-rebuild boot`` changes only the profile, which
    is the system for the next boot.
    """
    system = facts.updates.nixos
    finding.holds(f"version {system.version}")
    with finding.clause():
        _release(facts, finding, system.release)
    for what, when in (("profile", system.switched), ("package set", system.nixpkgs)):
        with finding.clause():
            if when is None:
                reason = f"{facts.name}: neither version {system.version} nor a channel of root contains the date of its {what}"
                raise EvidenceError(reason, host=facts.name)
            finding.require(_age_days(facts, when, f"the {what}") <= limit, f"the {what} is from {_date(when)}")
    if system.booted != system.current:
        finding.violated(f"kernel {system.booted} runs, {system.current} is installed")
    with finding.clause():
        for part in facts.updates.nixos_parts:
            if part.booted != part.current:
                finding.violated(
                    f"{part.name} {part.booted or 'none'} was booted, {part.current or 'none'} is installed"
                )
    if system.running not in system.next:
        finding.violated(f"{system.running} runs, {system.next[0]} is the system for the next boot")
    with finding.clause():
        _incus_package(facts, finding, limit)


def _release(facts: HostFacts, finding: Clauses, release: str) -> None:
    """Check that the release still gets security updates on the day of the scan."""
    if not release:
        raise EvidenceError(f"{facts.name}: the version does not begin with a release", host=facts.name)
    if is_development(release, facts.collected):
        finding.holds(f"{release} is the development branch")
        return
    written = facts.machine.os.support_end
    end = END_OF_LIFE.get(release) or (_day(facts, written) if written else None)
    if end is None:
        reason = (
            f"{facts.name}: sigsrv does not know when NixOS {release} reaches the end of its life: use a newer sigsrv, or write "
            "SUPPORT_END to os-release (system.nixos.extraOSReleaseArgs)"
        )
        raise EvidenceError(reason, host=facts.name)
    is_supported = datetime.fromtimestamp(facts.collected, UTC).date() <= end
    finding.require(is_supported, f"{release} gets security updates until {end}")


def _day(facts: HostFacts, written: str) -> date:
    try:
        return date.fromisoformat(written)
    except ValueError as cause:
        raise EvidenceError(
            f"{facts.name}: SUPPORT_END of os-release is {written[:40]!r}, not a day", host=facts.name
        ) from cause


def _incus_package(facts: HostFacts, finding: Clauses, limit: int) -> None:
    """Show the package of Incus. If the configuration writes the day of its package set, that must be young too."""
    package = facts.updates.incus_package
    if package.stored is not None:
        finding.holds(f"{package.name} is in the store since {_date(package.stored)}")
    if package.nixpkgs is not None:
        age = _age_days(facts, package.nixpkgs, "the package set of Incus")
        finding.require(age <= limit, f"the package set of Incus is from {_date(package.nixpkgs)}")


def _age_days(facts: HostFacts, when: float, what: str) -> float:
    """Return the age of something in days. Raises EvidenceError if it is more than a day in the future."""
    age = (facts.collected - when) / _DAY_S
    if age < -1:
        raise EvidenceError(f"{facts.name}: {what} has a date in the future: {_date(when)}", host=facts.name)
    return age


def _date(when: float) -> str:
    return datetime.fromtimestamp(when, UTC).strftime("%Y-%m-%d")
