"""Faults of INST: instances."""

from tests.e2e.cases import Case

SERVICE = {"sigsrv": "svc-a", "minisrv": "svc-b"}
STOPPED = {"sigsrv": "stopped-a", "minisrv": "stopped-b"}


def privileged(fault: str, host: str, name: str) -> Case:
    finding = f"INST-001@{host}/default/{name}"
    return Case(fault, host, {finding: "fail"}, [finding])


CASES = [
    privileged("privileged-instance", "sigsrv", SERVICE["sigsrv"]),
    privileged("privileged-pending", "minisrv", SERVICE["minisrv"]),
    privileged("privileged-one", "minisrv", SERVICE["minisrv"]),
    privileged("privileged-stopped", "sigsrv", STOPPED["sigsrv"]),
    Case(
        "privileged-profile",
        "minisrv",
        {"INST-001@sigsrv/default/svc-a": "fail", "INST-001@minisrv/default/svc-b": "fail"},
        ["INST-001@sigsrv/default/svc-a", "INST-001@minisrv/default/svc-b"],
        [["incus", "config", "unset", name, "security.privileged"] for name in ("svc-a", "svc-b")],
    ),
    Case("host-path", "sigsrv", {"INST-004@sigsrv/default/svc-a": "fail"}, ["INST-004@sigsrv/default/svc-a"]),
]
