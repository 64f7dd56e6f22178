"""Lists the faults of HOST: the hosts themselves."""

from tests.e2e.cases import Case

CASES = [
    Case("firewall-off", "minisrv", {"HOST-004@minisrv/minisrv": "fail"}),
    Case("overloaded", "minisrv", {"HOST-005@minisrv/minisrv": "fail"}),
    Case("disk-full", "sigsrv", {"HOST-006@sigsrv//home/full": "fail"}),
    Case("ssh-passwords", "minisrv", {"HOST-009@minisrv/minisrv": "fail"}, ["HOST-009@minisrv/minisrv"]),
    Case("root-full", "minisrv", {"HOST-006@minisrv//": "fail"}, labs=("vm",)),
    Case(  # Incus raises a warning too
        "clock-wrong",
        "minisrv",
        {
            "HOST-007@minisrv/minisrv": "fail",
            "CLUS-005@cluster/Time%20skew%20detected%20between%20leader%20and%20local/minisrv": "not-applicable",
            "CLUS-005@cluster/cluster": None,
        },
        labs=("vm",),
    ),
    Case("unit-failed", "minisrv", {"HOST-003@minisrv/minisrv": "fail"}, labs=("vm",)),
    Case("incus-disabled", "minisrv", {"HOST-002@minisrv/minisrv": "fail"}, labs=("vm",)),
    Case(
        "kernel-log-open", "minisrv", {"HOST-008@minisrv/minisrv": "fail"}, ["HOST-008@minisrv/minisrv"], labs=("vm",)
    ),
    Case("apparmor-off", "minisrv", {"HOST-008@minisrv/minisrv": "fail"}, labs=("vm",)),
    Case("updates-pending", "sigsrv", {"HOST-010@sigsrv/sigsrv": "fail"}),
    Case("lists-old", "minisrv", {"HOST-010@minisrv/minisrv": "fail"}),
    Case("reboot-due", "minisrv", {"HOST-010@minisrv/minisrv": "fail"}),
]
