"""Faults of CLUS: the cluster."""

from tests.e2e.cases import Case

CASES = [
    Case("offline-threshold", "sigsrv", {"CLUS-003@cluster/cluster": "fail"}, ["CLUS-003@cluster/cluster"]),
    Case("member-manual", "minisrv", {"CLUS-004@cluster/minisrv": "fail"}, ["CLUS-004@cluster/minisrv"]),
    Case(
        "member-evacuated",
        "minisrv",
        {"CLUS-004@cluster/minisrv": "fail", "CLUS-001@cluster/minisrv": "not-applicable"},
    ),
    Case(
        "warning",
        "sigsrv",
        {"CLUS-005@cluster/Network%20unavailable/sigsrv": "fail", "CLUS-005@cluster/cluster": None},
    ),
]
