"""Lists the faults of NET: bridges and VLANs."""

from tests.e2e.cases import Case

NOT_COMPARED = {
    "XHOST-001@cluster/sigsrvbr0": "not-applicable"
}  # there is nothing to compare while the VLAN interface is not in its bridge

CASES = [
    Case(
        "vlan-detached", "minisrv", {"NET-001@minisrv/sigsrvbr0": "fail", **NOT_COMPARED}, ["NET-001@minisrv/sigsrvbr0"]
    ),
    Case("vlan-detached", "sigsrv", {"NET-001@sigsrv/sigsrvbr0": "fail", **NOT_COMPARED}, ["NET-001@sigsrv/sigsrvbr0"]),
    Case("vlan-wrong-bridge", "minisrv", {"NET-001@minisrv/sigsrvbr0": "fail", **NOT_COMPARED}),
    Case("vlan-address", "minisrv", {"NET-003@minisrv/incusbr0": "fail"}, ["NET-003@minisrv/incusbr0"]),
    Case(  # one end of a veth pair is down, so the other has no carrier; setting the first one up fixes both
        "link-down",
        "minisrv",
        {"NET-005@minisrv/sigsrvbr0": "fail", "NET-005@sigsrv/sigsrvbr0": "fail"},
        ["NET-005@minisrv/sigsrvbr0"],
        labs=("ns",),
    ),
    Case("vlan-down", "minisrv", {"NET-005@minisrv/sigsrvbr0": "fail"}, ["NET-005@minisrv/sigsrvbr0"], labs=("vm",)),
    Case("vlan-wrong-id", "minisrv", {"NET-002@minisrv/sigsrvbr0": "fail", **NOT_COMPARED}, labs=("vm",)),
    Case(
        "vlan-lost",
        "minisrv",
        {
            "NET-008@minisrv/incusbr0": "fail",
            "NET-001@minisrv/incusbr0": "fail",
            "XHOST-001@cluster/incusbr0": "not-applicable",
        },
        labs=("vm",),
    ),
    Case(  # a network of a cluster is on all its members
        "network-foreign",
        "sigsrv",
        {"NET-004@sigsrv/foreign0": "fail", "NET-004@minisrv/foreign0": "fail"},
    ),
    Case("port-foreign", "minisrv", {"NET-006@minisrv/userbr0": "fail"}, ["NET-006@minisrv/userbr0"]),
    Case(
        "mtu-small",
        "minisrv",
        {"NET-007@minisrv/userbr0": "fail", "XHOST-001@cluster/userbr0": "not-applicable"},
        ["NET-007@minisrv/userbr0"],
    ),
    Case("network-services", "sigsrv", {"NET-007@cluster/incusbr0": "fail"}, ["NET-007@cluster/incusbr0"]),
    Case(
        "bridge-address",
        "sigsrv",
        {"NET-007@sigsrv/userbr0": "fail", "XHOST-001@cluster/userbr0": "not-applicable"},
    ),
    Case("vlan-not-persisted", "minisrv", {"NET-008@minisrv/incusbr0": "fail"}, ["NET-008@minisrv/incusbr0"]),
]
