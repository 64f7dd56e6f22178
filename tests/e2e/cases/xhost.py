"""Lists the faults of XHOST: differences between the hosts."""

from tests.e2e.cases import Case

CASES = [
    Case("bridge-unknown", "minisrv", {"XHOST-001@cluster/other0": "fail"}, labs=("vm",)),
    Case("acl-by-hand", "minisrv", {"XHOST-003@cluster/incusbr0": "fail"}),
]
