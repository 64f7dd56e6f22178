"""A sample run with every verdict, root findings and dependent findings, hostile text, long names and fixes."""

# ruff: noqa: E501  a table is read across

from __future__ import annotations

import re
import shlex
from datetime import UTC, datetime
from pathlib import Path

from sigsrv.model import policy as policies
from sigsrv.model.finding import Finding, HostState, Run, Severity, Verdict, Waiver, WaiverState, WaiverUse, ordered
from sigsrv.model.fix import Fix
from sigsrv.model.policy import Policy

SCRIPT_TAG = "<script>alert(1)</script>"
ATTRIBUTE = '" onmouseover="alert(2)" x="'
STEERING = "tty\x1b[2J\x1b]0;owned\x07\u202egnp.exe\u2066\x00\x85"
STEERS = re.compile("[\x00-\x08\x0b-\x1f\x7f-\x9f\u200b-\u200f\u2028-\u202e\u2066-\u2069]")
LONG = "user-john/a-very-long-instance-name-that-somebody-generated-0123456789abcdef0123456789abcdef-production"

_TITLES = {id: each.title for id, each in policies.load().items()}

# id, severity, examines, why, traps, remediation, by hand, NIST, CIS, source; the title is the title of the shipped policy
_POLICIES = [
    (
        "NET-001",
        "critical",
        "bridge",
        "Without its VLAN interface, a bridge is cut off from the other host. Instances on the two hosts can't reach each other.",
        'Incus still shows "Created" and "Running" and gives no warning. bridge.external_interfaces in the configuration does not prove that '
        "the interface is attached. If somebody detaches it, it stays detached until the daemon restarts.",
        "attach-vlan",
        "",
        ["SC-7", "CM-6", "CP-8"],
        ["12.2", "4.2"],
        ["runbook sections 3, 4, 5", "ip-link(8)"],
    ),
    (
        "NET-002",
        "critical",
        "bridge",
        "With another VLAN ID, the bridge is connected to another network.",
        "The name proves nothing: sigsrv0 can carry VLAN 21.",
        "",
        "Delete the interface and create it again with the VLAN ID of the site file, in a maintenance window.",
        ["SC-7", "AC-4"],
        ["12.2"],
        ["runbook section 5"],
    ),
    (
        "NET-005",
        "high",
        "bridge",
        "An attached link that is down carries no traffic.",
        "The operstate UNKNOWN is normal for vxlan, dummy and veth links. LOWERLAYERDOWN means that the parent link has no carrier. No command on the host helps.",
        "",
        "Check the cable and the switch port of the parent interface.",
        ["CP-8", "SC-5"],
        ["12.1"],
        ["runbook sections 2, 4"],
    ),
    (
        "ACL-001",
        "high",
        "network",
        "A network without its ACLs lets through all traffic that the host routes.",
        "`incus network set userbr0 security.acls=john-acl` replaces the list, so it detaches all other ACLs.",
        "attach-acl",
        "",
        ["AC-4", "SC-7", "SC-7(5)"],
        ["13.4", "12.2"],
        ["runbook sections 3, 6"],
    ),
    (
        "ACL-004",
        "high",
        "acl",
        "A rule that allows everything makes all other rules of its ACL useless.",
        "The two halves 0.0.0.0/1 and 128.0.0.0/1 also make any address.",
        "",
        "Read the log of the ACL for a day. Then narrow the rule to the peers and ports that are in use.",
        ["AC-4", "AC-6"],
        ["13.4"],
        ["runbook section 6"],
    ),
    (
        "INST-001",
        "critical",
        "instance",
        "Root in a privileged container is root on the host. One escape gives an attacker every instance of every user.",
        "A profile can set security.privileged. A snapshot that was taken while the container was privileged restores the key.",
        "unprivilege-instance",
        "",
        ["AC-6", "CM-7", "SC-39"],
        ["4.1", "5.4"],
        ["Incus security documentation", "runbook section 6"],
    ),
    (
        "INST-004",
        "critical",
        "instance",
        "An instance can read and change the mounted part of the host. A socket in it can give the instance the whole host.",
        "Read-only does not help if the folder has a socket in it (/var/lib/incus, /run/docker.sock). A scan can't see symbolic links.",
        "remove-host-path",
        "",
        ["AC-3", "AC-6", "SC-39"],
        ["3.3", "4.1"],
        ["runbook section 6"],
    ),
    (
        "INST-006",
        "medium",
        "instance",
        "One instance without limits can take all resources of its host.",
        "",
        "limit-instance",
        "",
        ["SC-5", "SC-6"],
        ["12.1"],
        ["runbook section 6"],
    ),
    (
        "PROJ-001",
        "critical",
        "project",
        "The user of a project without restrictions can create a privileged instance and become root on the host.",
        "If restricted is unset, it is false.",
        "restrict-project",
        "",
        ["AC-6", "AC-3"],
        ["3.3", "6.8"],
        ["runbook section 6"],
    ),
    (
        "PROJ-003",
        "critical",
        "project",
        "One loosened restriction bypasses all the others.",
        "",
        "",
        "Unset the loosened key, or move the instance that needs it to a system project.",
        ["AC-6"],
        ["3.3"],
        ["Incus: projects_confine"],
    ),
    (
        "POOL-001",
        "critical",
        "pool",
        "If a pool is unavailable on a member, its instances on this member do not start again.",
        "Without ?target=, Incus reports Created even while one member is Unavailable.",
        "",
        "Import the zpool. Incus tries again every minute. Create a missing pool by hand. This formats devices.",
        ["CM-2", "CP-10", "SI-13"],
        ["11.1"],
        ["runbook sections 1, 4"],
    ),
    (
        "POOL-005",
        "medium",
        "pool",
        "Without a scrub, you find a damaged block only when a restore fails.",
        "A resilver overwrites the record of the scrub before it.",
        "scrub-pool",
        "",
        ["SI-7", "CP-9"],
        ["11.1"],
        ["runbook section 8"],
    ),
    (
        "CLUS-005",
        "medium",
        "cluster",
        "Incus reports lost pools and absent members only in its warnings. Old warnings hide the next one.",
        'The severity that Incus gives is misleading: "Offline cluster member" is low.',
        "",
        "Fix the cause. Then run `incus warning acknowledge UUID`.",
        ["SI-4", "AU-6"],
        ["8.11"],
        ["Incus source: warningtype"],
    ),
    (
        "HOST-001",
        "critical",
        "host",
        "If sigsrv can't reach a host, it knows nothing about the host.",
        "If ssh itself fails, its exit status is 255.",
        "",
        "Find out whether the host or only its network is down. Check the console, then the switch, then sshd.",
        ["CP-10", "SI-4"],
        ["1.1"],
        ["runbook section 1"],
    ),
    (
        "HOST-003",
        "medium",
        "host",
        "A failure that stays unnoticed today becomes an outage next week.",
        "incusd writes its level into the message text and always uses the journal priority info, so `journalctl -p err` shows none of its errors.",
        "",
        "Read the entries and fix the cause. Only then run `systemctl reset-failed`.",
        ["AU-6", "SI-4"],
        ["8.2"],
        ["runbook section 4"],
    ),
    (
        "IMG-001",
        "low",
        "host",
        "Every new instance of an old image starts with vulnerabilities that are fixed elsewhere.",
        "",
        "refresh-image",
        "",
        ["SI-2"],
        ["7.4"],
        ["runbook section 8"],
    ),
]

POLICIES = {
    id: Policy(id, _TITLES[id], Severity(severity), why, examines, {}, None, "", "", traps, remediation or None, by_hand,
               {"nist-800-53r5": nist, "cis-v8": cis}, tuple(source), Path(f"{id}.yaml"))
    for id, severity, examines, why, traps, remediation, by_hand, nist, cis, source in _POLICIES
}  # fmt: skip

FAIL, ERROR, WAIVED, NA, PASS = Verdict.FAIL, Verdict.ERROR, Verdict.WAIVED, Verdict.NOT_APPLICABLE, Verdict.PASS
_DOWN = "probe zpool (`zpool status -j`): refused: a terminal is required to read the password"
_ATTACHED = "NET-001@minisrv/sigsrvbr0"

# policy, host, resource, verdict, expected, observed, reason, because
_FINDINGS = [
    ("NET-001", "minisrv", "sigsrvbr0", FAIL, "sigsrv0 attached", "ports: veth91b2c4 veth3f00aa", "", None),
    ("NET-002", "minisrv", "sigsrvbr0", NA, "802.1Q VLAN 20", "", "the VLAN interface is not attached to the bridge", _ATTACHED),
    ("NET-005", "minisrv", "sigsrvbr0", NA, "up, forwarding", "", "the VLAN interface is not attached to the bridge", _ATTACHED),
    ("NET-002", "sigsrv", "userbr0", FAIL, "user0 is 802.1Q VLAN 24", "user0 is 802.1Q VLAN 42", "", None),
    ("NET-005", "sigsrv", "incusbr0", FAIL, "UP, LOWER_UP", "UP, NO-CARRIER", "", None),
    ("ACL-001", "cluster", "userbr0", FAIL, "security.acls contains user-isolate", "security.acls: john-acl", "", None),
    ("ACL-004", "cluster", "default/john-acl", FAIL, "no allow rule for any peer and any port", "egress 0: allow to any", "", None),
    ("INST-001", "minisrv", "default/web1", FAIL, "security.privileged is false or unset", 'security.privileged: "true" (from profile legacy)', "", None),
    ("INST-001", "sigsrv", LONG, FAIL, "security.privileged is false or unset", "runs privileged: restart pending", "", None),
    ("INST-004", "sigsrv", "user-john/build", FAIL, "no host path", "/var/run/docker.sock -> /run/docker.sock",
     "the waiver by Ada Ops (policies/waivers.yaml:16) expired on 2026-07-31 21:59:59 UTC", None),
    ("INST-004", "minisrv", f"user-john/{SCRIPT_TAG}", FAIL, "no host path", f"description: {SCRIPT_TAG} {ATTRIBUTE}", STEERING, None),
    ("INST-006", "sigsrv", "default/dns", FAIL, "limits.memory, limits.cpu and limits.processes", "no limits.processes", "", None),
    ("INST-006", "minisrv", "user-john/db", FAIL, "limits.memory, limits.cpu and limits.processes", "none of them", "", None),
    ("PROJ-001", "cluster", "user-john", FAIL, "restricted is true", "restricted: unset (false)", "", None),
    ("PROJ-003", "cluster", "user-john", NA, "no restriction is loosened", "", "the project is not restricted", "PROJ-001@cluster/user-john"),
    ("POOL-005", "sigsrv", "hdd", FAIL, "scrubbed in the last 35 days", "last scrub 61 days ago", "", None),
    ("IMG-001", "cluster", "default/7f3c1d90aa12", FAIL, "at most 60 days old", "212 days old", "", None),
    ("CLUS-005", "cluster", "Unable to connect to cluster member/minisrv", FAIL, "no open warning", "new, seen 14 times", "", None),
    ("POOL-005", "minisrv", "nvme", ERROR, "scrubbed in the last 35 days", "", _DOWN, None),
    ("HOST-003", "sigsrv", "sigsrv", ERROR, "no errors in 24 hours", "", "probe journal (`journalctl -u incus.service`): no answer in 10 s", None),
    ("HOST-001", "backup", "backup", ERROR, "an answer within 15 s", "", "ssh: connect to host backup port 22: No route to host", None),
    *((policy, "backup", "HOST", ERROR, "", "", "the host is unreachable", "HOST-001@backup/backup")
      for policy in ("NET-001", "NET-002", "NET-005", "POOL-001", "POOL-005", "HOST-003")),
    ("INST-006", "minisrv", "default/legacy-mail", WAIVED, "limits.memory, limits.cpu and limits.processes", "no limits.memory", "", None),
    ("INST-001", "sigsrv", "default/nfs", WAIVED, "security.privileged is false or unset", 'security.privileged: "true"', "", None),
    ("PROJ-001", "cluster", "default", NA, "restricted is true", "restricted: unset (false)", "the site exempts it: system instances need host devices", None),
    *(("NET-001", host, bridge, PASS, f"{port} attached", f"ports: {port}", "", None)
      for host in ("sigsrv", "minisrv") for bridge, port in (("sigsrvbr0", "sigsrv0"), ("incusbr0", "incus0"), ("userbr0", "user0"))
      if (host, bridge) != ("minisrv", "sigsrvbr0")),
    *(("NET-005", host, "userbr0", PASS, "UP, LOWER_UP", "UP, LOWER_UP, forwarding", "", None) for host in ("sigsrv", "minisrv")),
    *(("INST-001", host, f"default/{name}", PASS, "security.privileged is false or unset", "unset", "", None)
      for host in ("sigsrv", "minisrv") for name in ("proxy", "git", "ci", "cache", "metrics")),
    *(("POOL-001", host, pool, PASS, "Created", "Created", "", None) for host in ("sigsrv", "minisrv") for pool in ("nvme", "hdd", "iso")),
    ("HOST-001", "sigsrv", "sigsrv", PASS, "an answer within 15 s", "0.9 s", "", None),
    ("HOST-001", "minisrv", "minisrv", PASS, "an answer within 15 s", "1.4 s", "", None),
]  # fmt: skip


def waiver(policy, host, resource, until, reason, line) -> Waiver:
    created = datetime(2026, 1, 10, tzinfo=UTC)
    source = f"policies/waivers.yaml:{line}"
    return Waiver(policy, host, resource, "Ada Ops", reason, datetime.fromisoformat(until), created, source)


MAIL = waiver(
    "INST-006",
    "minisrv",
    "default/legacy-mail",
    "2026-12-31T23:00:00Z",
    "replaced by the new mail host in December",
    4,
)
NFS = waiver(
    "INST-001", "*", "default/nfs", "2026-08-29T21:59:59Z", "the kernel NFS server is the only instance in its VLAN", 10
)
SOCKET = waiver(
    "INST-004",
    "sigsrv",
    "user-john/build",
    "2026-07-31T21:59:59Z",
    f"the build moves to its own machine {STEERING}",
    16,
)
OLD = waiver("POOL-001", "sigsrv", "hdd", "2026-12-31T23:00:00Z", "the pool waits for new disks", 22)
WAIVERS = {"default/legacy-mail": MAIL, "default/nfs": NFS}
USES = (
    WaiverUse(MAIL, WaiverState.ACTIVE, ("INST-006@minisrv/default/legacy-mail",)),
    WaiverUse(NFS, WaiverState.EXPIRING, ("INST-001@sigsrv/default/nfs",)),
    WaiverUse(SOCKET, WaiverState.EXPIRED, ("INST-004@sigsrv/user-john/build",)),
    WaiverUse(OLD, WaiverState.STALE, ()),
)


def finding(policy, host, resource, verdict, expected="", observed="", reason="", because=None) -> Finding:
    known = POLICIES[policy]
    return Finding(
        policy,
        known.title,
        known.severity,
        host,
        resource,
        verdict,
        expected,
        observed,
        reason,
        because,
        known.remediation,
        waiver=WAIVERS.get(resource) if verdict is WAIVED else None,
    )


FINDINGS = ordered(finding(*row) for row in _FINDINGS)
HOSTS = (
    HostState("sigsrv", "partial", 10.24, 31, ("journal",)),
    HostState("minisrv", "partial", 1.41, 31, ("zpool",)),
    HostState(
        "backup", "unreachable", 3.07, 0, (), f"ssh: connect to host backup port 22: No route to host {STEERING}"
    ),
)
OK_HOSTS = (HostState("sigsrv", "ok", 0.92, 31, ()), HostState("minisrv", "ok", 1.41, 31, ()))


def ok(policy="INST-001", host="sigsrv", resource="default/a", **kwargs):
    return finding(policy, host, resource, kwargs.pop("verdict", PASS), **kwargs)


def make_run(findings=FINDINGS, hosts=HOSTS, waivers=USES) -> Run:
    return Run(
        "20260820T140307Z-4f1c",
        "2026-08-20T14:03:07Z",
        "2026-08-20T14:03:18.4Z",
        "0.1.0",
        "sigsrv-infra",
        tuple(hosts),
        ordered(findings),
        waivers=waivers,
    )


_FIX_TITLES = {
    "attach-vlan": "Attach the VLAN interface to its bridge",
    "attach-acl": "Attach the site's ACLs to the network",
    "unprivilege-instance": "Make the container unprivileged",
    "remove-host-path": "Remove the host path from the instance",
    "limit-instance": "Set the limits of the site file on the instance",
    "restrict-project": "Restrict the project",
    "scrub-pool": "Scrub the ZFS pool",
    "refresh-image": "Refresh the image",
}


def _fix(f: Finding) -> Fix:
    what = shlex.quote(f.resource)
    attach = f.policy == "NET-001"
    return Fix(
        finding=f.id, name=f.remediation or "", command=f"sigsrv-remediate {f.id}", runs_on="sigsrv" if f.host == "cluster" else f.host,
        title=_FIX_TITLES[f.remediation or ""],
        disruption="network" if attach else "instance",
        disrupts="Connects the bridge to the bridge of the other host at once." if attach
        else "Restarts the instance on its host. The instance is down for some seconds.",
        undo_text="Removes the interface from the bridge and restores its addresses." if attach else "Restores the old value.",
        timeout_s=30,
        script=f"#!/bin/sh\nset -eu\nresource={what}\nold=$(cat /sys/class/net/sigsrv0/master/uevent 2>/dev/null || true)\n"
        'if [ -n "$old" ]; then\n\techo "unchanged: $resource"\n\texit 0\nfi\nip addr flush dev sigsrv0 scope global\n'
        "ip link set dev sigsrv0 master sigsrvbr0\nip link set dev sigsrv0 up\necho \"changed: $resource\"\n",
        undo=f"#!/bin/sh\nset -eu\nresource={what}\nip link set dev sigsrv0 nomaster\n",
        permanent={
            "OpenTofu": 'resource "incus_network" "sigsrvbr0" {\n  target = "minisrv"\n  config = { "bridge.external_interfaces" = "sigsrv0" }\n}\n',
            "NixOS": 'networking.vlans.sigsrv0 = { id = 20; interface = "enp3s0"; };\n',
        } if attach else {},
    )  # fmt: skip


FIXES = {f.id: _fix(f) for f in FINDINGS if f.verdict is FAIL and f.remediation}
