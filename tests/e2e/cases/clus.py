"""Lists the faults of CLUS: the cluster."""

from tests.e2e.cases import Case

BRIDGES = ("sigsrvbr0", "incusbr0", "userbr0")
ON_THE_MEMBER = ("NET-001", "NET-004", "NET-005", "NET-006", "NET-007", "ACL-007")
OF_THE_CLUSTER = ("XHOST-001", "XHOST-003")

CASES = [
    Case("offline-threshold", "sigsrv", {"CLUS-003@cluster/cluster": "fail"}, ["CLUS-003@cluster/cluster"]),
    Case("member-manual", "minisrv", {"CLUS-004@cluster/minisrv": "fail"}, ["CLUS-004@cluster/minisrv"]),
    Case(
        "member-evacuated",
        "minisrv",
        {  # Incus takes down the bridges of an evacuated member, so findings about them are not applicable
            "CLUS-004@cluster/minisrv": "fail",
            "CLUS-001@cluster/minisrv": "not-applicable",
            **{f"{each}@minisrv/{bridge}": "not-applicable" for each in ON_THE_MEMBER for bridge in BRIDGES},
            **{f"{each}@cluster/{bridge}": "not-applicable" for each in OF_THE_CLUSTER for bridge in BRIDGES},
        },
    ),
    Case(
        "warning-old",
        "sigsrv",
        {"CLUS-005@cluster/Offline%20cluster%20member/sigsrv": "fail", "CLUS-005@cluster/cluster": None},
        ["CLUS-005@cluster/Offline%20cluster%20member/sigsrv"],
        disappears=True,
    ),
    Case(
        "warning",
        "sigsrv",
        {"CLUS-005@cluster/Network%20unavailable/sigsrv": "fail", "CLUS-005@cluster/cluster": None},
    ),
]
