"""Faults of POOL: storage pools."""

from tests.e2e.cases import Case

CASES = [
    Case("pool-full", "minisrv", {"POOL-003@minisrv/nvme": "fail"}),
    Case("pool-config", "sigsrv", {"POOL-002@sigsrv/iso": "fail", "POOL-002@minisrv/iso": "fail"}),
]
