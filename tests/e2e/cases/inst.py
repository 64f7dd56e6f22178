"""Lists the faults of INST: instances."""

from dataclasses import replace

from tests.e2e.cases import Case

SERVICE = {"sigsrv": "svc-a", "minisrv": "svc-b"}


def instance_case(fault: str, host: str, policy: str, name: str) -> Case:
    """Return a fault of one instance, which a script fixes at that instance."""
    finding = f"{policy}@{host}/{name}"
    return Case(fault, host, {finding: "fail"}, [finding])


def profile_case(fault: str, host: str, policy: str) -> Case:
    """Return a fault in the profile of both service containers."""
    findings = [f"{policy}@{each}/default/{name}" for each, name in SERVICE.items()]
    return Case(fault, host, dict.fromkeys(findings, "fail"), findings)


CASES = [
    instance_case("privileged-instance", "sigsrv", "INST-001", "default/svc-a"),
    replace(instance_case("privileged-pending", "minisrv", "INST-001", "default/svc-b"), stays_fixed=True),
    instance_case("privileged-one", "minisrv", "INST-001", "default/svc-b"),
    instance_case("privileged-stopped", "sigsrv", "INST-001", "default/stopped-a"),
    profile_case("privileged-profile", "minisrv", "INST-001"),
    instance_case("nested", "sigsrv", "INST-002", "default/svc-a"),
    instance_case("raw-setting", "minisrv", "INST-003", "default/svc-b"),
    Case("raw-profile", "sigsrv", {f"INST-003@{host}/default/{name}": "fail" for host, name in SERVICE.items()}),
    instance_case("host-path", "sigsrv", "INST-004", "default/svc-a"),
    instance_case("host-device", "minisrv", "INST-005", "default/svc-b"),
    profile_case("host-device-profile", "sigsrv", "INST-005"),
    profile_case("unlimited", "minisrv", "INST-006"),
    instance_case("guest-api", "minisrv", "INST-007", "restricted/tenant1"),
    replace(instance_case("idmap-pending", "sigsrv", "INST-007", "restricted/tenant2"), stays_fixed=True),
    replace(instance_case("idmap-shared", "minisrv", "INST-007", "restricted/tenant1"), stays_fixed=True),
    instance_case("intercepted", "minisrv", "INST-008", "default/svc-b"),
    replace(instance_case("proxy-unlisted", "minisrv", "INST-009", "default/svc-b"), disappears=True),
    instance_case("nic-unfiltered", "sigsrv", "INST-010", "restricted/tenant2"),
    Case("nic-unmanaged", "minisrv", {"INST-011@minisrv/default/stopped-b": "fail"}),
    instance_case("unprotected", "sigsrv", "INST-013", "default/svc-a"),
    instance_case("critical-stopped", "sigsrv", "INST-013", "default/svc-a"),
]
