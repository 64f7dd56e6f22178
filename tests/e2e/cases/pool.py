"""Lists the faults of POOL: storage pools."""

from tests.e2e.cases import Case

CASES = [
    Case("pool-full", "minisrv", {"POOL-003@minisrv/nvme": "fail"}, labs=("ns",)),
    Case("zpool-full", "minisrv", {"POOL-003@minisrv/iso": "fail"}, labs=("vm",)),
    Case("zpool-degraded", "minisrv", {"POOL-004@minisrv/hdd": "fail"}, labs=("vm",)),
    Case("zpool-checksums", "sigsrv", {"POOL-004@sigsrv/hdd": "fail"}, labs=("vm",)),
    Case(
        "zpool-errors",
        "minisrv",
        {"POOL-004@minisrv/iso": "fail", "POOL-005@minisrv/iso": "not-applicable"},
        labs=("vm",),
    ),
    Case(
        "scrub-old",
        "minisrv",
        {"POOL-005@minisrv/iso": "fail"},
        ["POOL-005@minisrv/iso"],
        stays_fixed=True,
        labs=("vm",),
    ),
    Case(
        "scrub-never",
        "sigsrv",
        {"POOL-005@sigsrv/iso": "fail"},
        ["POOL-005@sigsrv/iso"],
        stays_fixed=True,
        labs=("vm",),
    ),
    Case(
        "pool-lost",
        "minisrv",
        {
            "POOL-001@minisrv/iso": "fail",
            **{f"POOL-00{number}@minisrv/iso": "not-applicable" for number in (3, 4, 5)},
            "CLUS-005@cluster/Storage%20pool%20unavailable/minisrv": "not-applicable",
            "CLUS-005@cluster/cluster": None,
        },
        labs=("vm",),
    ),
    Case(
        "pool-config",
        "sigsrv",
        {"POOL-002@sigsrv/iso": "fail", "POOL-002@minisrv/iso": "fail"},
        ["POOL-002@sigsrv/iso"],
    ),
]
