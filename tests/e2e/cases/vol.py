"""Lists the faults of VOL: custom volumes, snapshots and backups."""

from tests.e2e.cases import Case

CASES = [
    Case(
        "snapshots-lost",
        "sigsrv",
        {"VOL-001@sigsrv/default/svc-a": "fail"},
        ["VOL-001@sigsrv/default/svc-a"],
    ),
    Case(
        "snapshots-lost-volume",
        "minisrv",
        {"VOL-001@sigsrv/nvme/default/data": "fail"},
        ["VOL-001@sigsrv/nvme/default/data"],
    ),
    Case("backup-old", "sigsrv", {"VOL-002@sigsrv/default/svc-a": "fail"}, ["VOL-002@sigsrv/default/svc-a"]),
    Case(
        "volume-unused",
        "minisrv",
        {
            "PROJ-006@minisrv/hdd/default/lost": "pass",
            "VOL-003@minisrv/hdd/default/lost": "fail",
            "VOL-004@minisrv/hdd/default/lost": "pass",
        },
    ),
    Case(
        "volume-unlimited",
        "minisrv",
        {"VOL-004@minisrv/hdd/user-alice/alice-home": "fail"},
        ["VOL-004@minisrv/hdd/user-alice/alice-home"],
    ),
]
