"""What undoes a fix by itself on the hosts of a lab: those of namespaces have no systemd, virtual machines do."""

from __future__ import annotations

from tests.e2e.conftest import Lab


def has_systemd(lab: Lab, host: str = "sigsrv") -> bool:
    """Whether a host was booted with systemd."""
    return "yes" in lab.on(host, "sh", "-c", "if [ -d /run/systemd/system ]; then echo yes; fi")


def options(lab: Lab) -> list[str]:
    """What sigsrv-remediate must be told on a lab: how long proving may take there, and that nothing on a host undoes it after a reboot."""
    time_s = ["--confirm-timeout", str(60 * lab.slowness)]
    return time_s if has_systemd(lab) else [*time_s, "--no-safety-net"]
