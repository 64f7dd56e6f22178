"""Checks of HOST: confinement, logins and updates."""

from datetime import UTC, datetime

from sigsrv import policy
from sigsrv.model.errors import EvidenceError, FailureKind

_NO_APPARMOR = "AppArmor support has been disabled"  # the type of the warning
_ROOT_WITHOUT_PASSWORD = ("no", "prohibit-password", "without-password", "forced-commands-only")
_LISTS_DAYS = 7  # Debian's own archive for security is void when it is older
_DAY = 86400


@policy("HOST-008")
def test_apparmor_and_kernel_confinement_are_on(facts, site, require):
    """The kernel's switch, and the daemon's word that it could use it."""
    faults = []
    if not facts.machine.apparmor:
        faults.append("the kernel's AppArmor is off")
    elif _warned(facts):
        faults.append(f'Incus can\'t use AppArmor: its warning "{_NO_APPARMOR}" is open')
    if not facts.machine.dmesg_restricted:
        faults.append("kernel.dmesg_restrict is 0")
    require(
        facts.name,
        not faults,
        expected="AppArmor is on, Incus can use it, and kernel.dmesg_restrict is 1",
        observed="; ".join(faults) or "AppArmor is on, and used; kernel.dmesg_restrict is 1",
    )


def _warned(facts):
    """Whether the daemon has an open warning of this member that AppArmor is of no use."""
    return any(
        warning.type == _NO_APPARMOR and warning.status != "resolved" and warning.location in (facts.member, "none", "")
        for warning in facts.incus.warnings
    )


@policy("HOST-009")
def test_sshd_refuses_root_passwords(facts, site, require):
    """What sshd itself says of its configuration, for anybody whom no Match block names and for root."""
    faults = []
    for who, settings in facts.machine.sshd.items():
        for key, value in settings.items():
            allowed = _ROOT_WITHOUT_PASSWORD if key == "permitrootlogin" else ("no",)
            if value not in allowed:
                faults.append(f"{who}{key} {value}")
    require(
        facts.name,
        not faults,
        expected="no password opens a session of root, nor of an account that no Match block names: passwordauthentication, "
        "kbdinteractiveauthentication and permitemptypasswords no, permitrootlogin prohibit-password or stricter",
        observed="; ".join(faults) or "no password is asked for",
        fix={},
    )


@policy("HOST-010")
def test_no_security_updates_are_pending_and_no_reboot_is_due(facts, site, require):
    """By the kind of system: what its package manager knows, and how old that knowledge is."""
    system = facts.machine.os
    if system.id == "nixos":
        faults, seen = _nixos(facts, site)
        expected = f"system and package set at most {site.thresholds.update_days} days old, and its kernel runs"
    elif system.is_any("debian", "ubuntu"):
        faults, seen = _debian(facts)
        expected = f"no security update pending, by lists of at most {_LISTS_DAYS} days, and no reboot due"
    else:
        raise EvidenceError(f"{facts.name}: {system.name}: its updates can't be read", FailureKind.ABSENT, facts.name)
    require(facts.name, not faults, expected=expected, observed="; ".join(faults or seen))


def _debian(facts):
    """What is wrong, and what was seen. Old lists know of no update, so each archive for security must be young.

    One must be that of the host's own release: that of another has no update for it, and is young all the same.
    """
    faults, seen = [], []
    archives = [each for each in facts.updates.releases if each.is_security]
    release = facts.machine.os.codename
    for archive in archives:
        age = (facts.collected - archive.made) / _DAY
        if age < -1:
            raise EvidenceError(
                f"{facts.name}: {archive.file} is of {_date(archive.made)}: of the future", host=facts.name
            )
        (faults if age > _LISTS_DAYS else seen).append(
            f"{archive.codename or archive.suite} is of {_date(archive.made)}"
        )
    if any(not release or each.secures(release) for each in archives):
        faults += _pending(facts)
    else:
        faults.append(f"no archive for security{f' of {release}' if release else ''} was ever fetched")
    return faults + _reboot(facts), [
        *seen,
        "no security update is pending",
        f"{facts.updates.boot.running.release} runs",
    ]


def _pending(facts):
    found = facts.updates.updates
    security = [f"{each.package} {each.version}" for each in found.pending if each.is_security]
    if security:
        more = " ..." if len(security) > 8 else ""
        return [
            f"{len(security)} security update{'' if len(security) == 1 else 's'} pending: {', '.join(sorted(security)[:8])}{more}"
        ]
    if found.kept:
        reason = f"apt keeps back {', '.join(found.kept)}, and does not say whether for security: apt-cache policy"
        raise EvidenceError(f"{facts.name}: {reason}", host=facts.name)
    return []


def _reboot(facts):
    boot = facts.updates.boot
    running, newest = boot.running.release, boot.newest
    if boot.wanted:
        return ["a package asks for a reboot (/run/reboot-required)"]
    if newest is None:
        reason = f"{facts.name}: no kernel of the kind that runs ({running}) is in /boot: whether a newer one is, can't be told"
        raise EvidenceError(reason, FailureKind.ABSENT, facts.name)
    if newest.order > boot.running.order:
        return [f"kernel {running} runs, {newest.release} is installed"]
    if boot.built_from and boot.package and boot.built_from != boot.package:
        return [f"kernel {running} runs as of {boot.built_from}, {boot.package} is installed"]
    return []


def _nixos(facts, site):
    """What is wrong, and what was seen. A rebuild from an old package set renews the profile, so both must be young.

    The profile is what is booted next: ``nixos-rebuild boot`` changes it, and not what runs.
    """
    system, limit = facts.updates.nixos, site.thresholds.update_days
    faults, seen = [], [f"version {system.version}"]
    for what, when in (("profile", system.switched), ("package set", system.nixpkgs)):
        if when is not None:
            age = (facts.collected - when) / _DAY
            if age < -1:
                raise EvidenceError(f"{facts.name}: the {what} is of {_date(when)}: of the future", host=facts.name)
            (faults if age > limit else seen).append(f"the {what} is of {_date(when)}")
    if system.nixpkgs is None and not faults:
        raise EvidenceError(
            f"{facts.name}: its version {system.version} does not tell the day of its package set", host=facts.name
        )
    if system.booted != system.current:
        faults.append(f"{system.booted} runs, {system.current} is installed")
    if system.running not in system.next:
        faults.append(f"{system.running} runs, {system.next[0]} is booted next")
    return faults, seen


def _date(when):
    return datetime.fromtimestamp(when, UTC).strftime("%Y-%m-%d")
