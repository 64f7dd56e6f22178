"""Lists the faults of AUTH: access rights."""

from tests.e2e.cases import Case

NO_CLIENT = {"AUTH-002@cluster/cluster": None}  # the trust store of the clean lab has no client

CASES = [
    Case("listen-anywhere", "minisrv", {"AUTH-001@minisrv/minisrv": "fail"}, ["AUTH-001@minisrv/minisrv"]),
    Case(
        "certificate-unrestricted",
        "sigsrv",
        {"AUTH-002@cluster/c02216bfb55f": "fail", "AUTH-003@cluster/c02216bfb55f": "pass", **NO_CLIENT},
    ),
    Case(
        "certificate-weak",
        "sigsrv",
        {"AUTH-002@cluster/f93d057a748d": "pass", "AUTH-003@cluster/f93d057a748d": "fail", **NO_CLIENT},
    ),
    Case("admin-user", "minisrv", {"AUTH-004@minisrv/minisrv": "fail"}, ["AUTH-004@minisrv/minisrv"]),
    Case("incus-user", "sigsrv", {"AUTH-007@sigsrv/sigsrv": "fail"}, ["AUTH-007@sigsrv/sigsrv"]),
    Case("debug-address", "sigsrv", {"AUTH-005@sigsrv/sigsrv": "fail"}, ["AUTH-005@sigsrv/sigsrv"]),
    Case(  # a key of the whole cluster: one fix fixes both findings
        "tokens-forever",
        "sigsrv",
        {"AUTH-005@sigsrv/sigsrv": "fail", "AUTH-005@minisrv/minisrv": "fail"},
        ["AUTH-005@minisrv/minisrv"],
    ),
]
