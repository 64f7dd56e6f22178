"""Faults of ACL: network access control lists."""

from tests.e2e.cases import Case

CASES = [
    Case(
        "acl-detached",
        "sigsrv",
        {"ACL-001@cluster/userbr0": "fail", "ACL-003@cluster/userbr0": "not-applicable"},
        ["ACL-001@cluster/userbr0"],
    ),
    Case("acl-default-allow", "minisrv", {"ACL-003@cluster/sigsrvbr0": "fail"}, ["ACL-003@cluster/sigsrvbr0"]),
    Case("acl-empty", "minisrv", {"ACL-002@cluster/default/mgmt-base": "fail"}),
]
