"""Checks of HOST: confinement and logins."""

from sigsrv import HostFacts, Require, Site, policy
from sigsrv.judge.incus_warnings import APPARMOR_DISABLED

_NO_ROOT_PASSWORD = ("no", "prohibit-password", "without-password", "forced-commands-only")


@policy("HOST-008")
def test_apparmor_is_on_and_the_kernel_log_is_restricted(facts: HostFacts, site: Site, require: Require) -> None:
    """Looks at the kernel's AppArmor switch, at the Incus warnings of this member, and at kernel.dmesg_restrict.

    The kernel's switch does not show whether Incus can use AppArmor. The warning does.
    """
    faults = []
    if not facts.machine.apparmor:
        faults.append("AppArmor is off in the kernel")
    elif _has_apparmor_warning(facts):
        faults.append(f'Incus can\'t use AppArmor: its warning "{APPARMOR_DISABLED}" is open')
    if not facts.machine.dmesg_restricted:
        faults.append("kernel.dmesg_restrict is 0")
    require(
        facts.name,
        not faults,
        expected="AppArmor is on, Incus can use it, and kernel.dmesg_restrict is 1",
        observed="; ".join(faults) or "AppArmor is on, Incus can use it; kernel.dmesg_restrict is 1",
    )


def _has_apparmor_warning(facts: HostFacts) -> bool:
    return any(
        warning.type == APPARMOR_DISABLED
        and warning.status != "resolved"
        and warning.location in (facts.member, "none", "")
        for warning in facts.incus.warnings
    )


@policy("HOST-009")
def test_sshd_refuses_password_logins(facts: HostFacts, site: Site, require: Require) -> None:
    """Looks at the effective settings that sshd itself reports, for an account that no Match block names and for root."""
    faults = []
    for who, settings in facts.machine.sshd.items():
        for key, value in settings.items():
            allowed = _NO_ROOT_PASSWORD if key == "permitrootlogin" else ("no",)
            if value not in allowed:
                faults.append(f"{who}{key} {value}")
    require(
        facts.name,
        not faults,
        expected="no password login for root and for accounts that no Match block names: passwordauthentication, "
        "kbdinteractiveauthentication and permitemptypasswords are no, permitrootlogin is prohibit-password or stricter",
        observed="; ".join(faults) or "sshd accepts no passwords for these accounts",
        fix={},
    )
