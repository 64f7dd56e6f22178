"""Lists the faults of PROJ: projects."""

from tests.e2e.cases import Case

UNRESTRICTED = {f"PROJ-00{number}@cluster/restricted": "not-applicable" for number in (3, 4, 7)}
CASES = [
    Case(  # the restrictions have no effect then, so instances are not compared with them
        "project-unrestricted",
        "sigsrv",
        {
            "PROJ-001@cluster/restricted": "fail",
            **UNRESTRICTED,
            "PROJ-007@minisrv/restricted/tenant1": None,
            "PROJ-007@sigsrv/restricted/tenant2": None,
        },
        ["PROJ-001@cluster/restricted"],
    ),
    Case(
        "project-features",
        "minisrv",
        {"PROJ-002@cluster/user-bob": "fail", "PROJ-007@cluster/user-bob": "not-applicable"},
        ["PROJ-002@cluster/user-bob"],
    ),
    Case("project-loose", "sigsrv", {"PROJ-003@cluster/user-bob": "fail"}, ["PROJ-003@cluster/user-bob"]),
    Case("project-any-network", "minisrv", {"PROJ-004@cluster/user-bob": "fail"}, ["PROJ-004@cluster/user-bob"]),
    Case("project-unlimited", "sigsrv", {"PROJ-005@cluster/user-bob": "fail"}, ["PROJ-005@cluster/user-bob"]),
    Case(
        "volume-shared",
        "minisrv",
        {"PROJ-002@cluster/user-bob": "fail", "PROJ-006@sigsrv/nvme/default/data": "fail"},
    ),
    Case("restriction-bypassed", "minisrv", {"PROJ-007@minisrv/user-alice/alice1": "fail"}),
    Case(
        "nic-profile",
        "sigsrv",
        {"PROJ-009@cluster/default/past-incus": "fail", "INST-011@sigsrv/default/stopped-a": "not-applicable"},
    ),
    Case(
        "project-foreign",
        "sigsrv",
        {
            **dict.fromkeys((f"PROJ-00{number}@cluster/guest" for number in (1, 2, 3, 7)), "pass"),
            **dict.fromkeys((f"PROJ-00{number}@cluster/guest" for number in (4, 5, 6)), "not-applicable"),
            "PROJ-008@cluster/guest": "fail",
        },
    ),
]
