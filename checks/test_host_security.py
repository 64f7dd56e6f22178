"""Checks of HOST: confinement and logins."""

from sigsrv import HostFacts, Require, Site, policy

_NO_ROOT_PASSWORD = ("no", "prohibit-password", "without-password", "forced-commands-only")


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
