"""Lists the faults of ACL: network access control lists."""

from tests.e2e.cases import Case

BRIDGES = ("sigsrvbr0", "incusbr0", "userbr0")
CASES = [
    Case(
        "acl-detached",
        "sigsrv",
        {"ACL-001@cluster/userbr0": "fail"}
        | {f"ACL-00{number}@cluster/userbr0": "not-applicable" for number in (3, 5, 6)}
        | {f"ACL-007@{host}/userbr0": "not-applicable" for host in ("sigsrv", "minisrv")}
        | {"XHOST-003@cluster/userbr0": None, "ACL-004@cluster/default/user-isolate": None},
        ["ACL-001@cluster/userbr0"],
    ),
    Case("acl-default-allow", "minisrv", {"ACL-003@cluster/sigsrvbr0": "fail"}, ["ACL-003@cluster/sigsrvbr0"]),
    Case("acl-empty", "minisrv", {"ACL-002@cluster/default/mgmt-base": "fail"}),
    Case("acl-open", "sigsrv", {"ACL-004@cluster/default/mgmt-base": "fail"}),
    Case("acl-shadowed", "minisrv", {"ACL-005@cluster/incusbr0": "fail"}),
    Case(
        "bridge-unfiltered",
        "minisrv",
        {"ACL-006@cluster/userbr0": "fail", "XHOST-003@cluster/cluster": "not-applicable"},
        ["ACL-006@cluster/userbr0"],
    ),
    Case("users-admitted", "sigsrv", {"ACL-006@cluster/userbr0": "fail"}),
    Case(  # it also removes the host's own firewall rules
        "ruleset-flushed",
        "minisrv",
        {"HOST-004@minisrv/minisrv": "fail"}
        | {f"ACL-007@minisrv/{bridge}": "fail" for bridge in BRIDGES}
        | {f"XHOST-003@cluster/{bridge}": "not-applicable" for bridge in BRIDGES},
    ),
]
