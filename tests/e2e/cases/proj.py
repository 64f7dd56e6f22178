"""Faults of PROJ: projects."""

from tests.e2e.cases import Case

CASES = [
    Case("project-unrestricted", "sigsrv", {"PROJ-001@cluster/restricted": "fail"}, ["PROJ-001@cluster/restricted"]),
    Case("project-features", "minisrv", {"PROJ-002@cluster/user-bob": "fail"}),
]
