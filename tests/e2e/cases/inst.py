"""Faults of INST: instances."""

from dataclasses import replace

from tests.e2e.cases import Case

SERVICE = {"sigsrv": "svc-a", "minisrv": "svc-b"}


def own(fault: str, host: str, policy: str, name: str) -> Case:
    """A fault of one instance, which a script puts right at that instance."""
    finding = f"{policy}@{host}/{name}"
    return Case(fault, host, {finding: "fail"}, [finding])


def by_profile(fault: str, host: str, policy: str) -> Case:
    """A fault of the profile of both service containers."""
    findings = [f"{policy}@{each}/default/{name}" for each, name in SERVICE.items()]
    return Case(fault, host, dict.fromkeys(findings, "fail"), findings)


CASES = [
    own("privileged-instance", "sigsrv", "INST-001", "default/svc-a"),
    replace(own("privileged-pending", "minisrv", "INST-001", "default/svc-b"), stays=True),
    own("privileged-one", "minisrv", "INST-001", "default/svc-b"),
    own("privileged-stopped", "sigsrv", "INST-001", "default/stopped-a"),
    by_profile("privileged-profile", "minisrv", "INST-001"),
    own("nested", "sigsrv", "INST-002", "default/svc-a"),
    own("raw-setting", "minisrv", "INST-003", "default/svc-b"),
    Case("raw-profile", "sigsrv", {f"INST-003@{host}/default/{name}": "fail" for host, name in SERVICE.items()}),
    own("host-path", "sigsrv", "INST-004", "default/svc-a"),
    own("host-device", "minisrv", "INST-005", "default/svc-b"),
    by_profile("host-device-profile", "sigsrv", "INST-005"),
    by_profile("unlimited", "minisrv", "INST-006"),
    own("guest-api", "minisrv", "INST-007", "restricted/tenant1"),
    replace(own("idmap-pending", "sigsrv", "INST-007", "restricted/tenant2"), stays=True),
    replace(own("idmap-shared", "minisrv", "INST-007", "restricted/tenant1"), stays=True),
    own("intercepted", "minisrv", "INST-008", "default/svc-b"),
    replace(own("proxy-unlisted", "minisrv", "INST-009", "default/svc-b"), gone=True),
    Case("nic-unfiltered", "sigsrv", {"INST-010@sigsrv/restricted/tenant2": "fail"}),
    Case("nic-unmanaged", "minisrv", {"INST-011@minisrv/default/stopped-b": "fail"}),
    own("unprotected", "sigsrv", "INST-013", "default/svc-a"),
    own("critical-stopped", "sigsrv", "INST-013", "default/svc-a"),
]
