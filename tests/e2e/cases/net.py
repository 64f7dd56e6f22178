"""Faults of NET: bridges and VLANs."""

from tests.e2e.cases import Case

CASES = [
    Case("vlan-detached", "minisrv", {"NET-001@minisrv/sigsrvbr0": "fail"}, ["NET-001@minisrv/sigsrvbr0"]),
    Case("vlan-detached", "sigsrv", {"NET-001@sigsrv/sigsrvbr0": "fail"}, ["NET-001@sigsrv/sigsrvbr0"]),
    Case("vlan-wrong-bridge", "minisrv", {"NET-001@minisrv/sigsrvbr0": "fail"}),
    Case("vlan-address", "minisrv", {"NET-003@minisrv/incusbr0": "fail"}, ["NET-003@minisrv/incusbr0"]),
    Case(  # the two ends of a veth pair: one is down, so the other has no carrier; setting up the one mends both
        "link-down",
        "minisrv",
        {"NET-005@minisrv/sigsrvbr0": "fail", "NET-005@sigsrv/sigsrvbr0": "fail"},
        ["NET-005@minisrv/sigsrvbr0"],
    ),
    Case(  # a network of a cluster is on all of its members
        "network-foreign",
        "sigsrv",
        {"NET-004@sigsrv/foreign0": "fail", "NET-004@minisrv/foreign0": "fail"},
    ),
]
