"""A handmade run with every verdict, root findings and dependent findings, hostile text, long names and fixes."""

# ruff: noqa: E501  a table is read across

from __future__ import annotations

import re
import shlex
from datetime import UTC, datetime
from pathlib import Path

from sigsrv.model.finding import Finding, HostState, Run, Severity, Verdict, Waiver, WaiverState, WaiverUse, ordered
from sigsrv.model.fix import Fix
from sigsrv.model.policy import Policy

SCRIPT_TAG = "<script>alert(1)</script>"
ATTRIBUTE = '" onmouseover="alert(2)" x="'
STEERING = "tty\x1b[2J\x1b]0;owned\x07\u202egnp.exe\u2066\x00\x85"
STEERS = re.compile("[\x00-\x08\x0b-\x1f\x7f-\x9f\u200b-\u200f\u2028-\u202e\u2066-\u2069]")
LONG = "user-john/a-very-long-instance-name-that-somebody-generated-0123456789abcdef0123456789abcdef-production"

# id, severity, examines, title, why, traps, remediation, by hand, NIST, CIS, source
_POLICIES = [
    (
        "NET-001",
        "critical",
        "bridge",
        "Bridge has its VLAN interface attached",
        "Without its VLAN interface a bridge is an island: instances on this host reach neither the other host nor their gateway there.",
        'Incus notices nothing: the network stays "Created", instances stay "Running", there is no warning. bridge.external_interfaces in the '
        "configuration is no proof: after a detach it stays unattached until the daemon restarts.",
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
        "VLAN interface carries the site's VLAN id",
        "A wrong id joins the bridge to somebody else's network.",
        "The name proves nothing: sigsrv0 can carry VLAN 21.",
        "",
        "Recreate the interface with the id of the site, in a maintenance window.",
        ["SC-7", "AC-4"],
        ["12.2"],
        ["runbook section 5"],
    ),
    (
        "NET-005",
        "high",
        "bridge",
        "Bridge and VLAN interface are up",
        "A link that is down carries nothing, whatever is attached to it.",
        "operstate UNKNOWN is normal for vxlan, dummy and veth. LOWERLAYERDOWN means that the parent's carrier is gone: no command helps.",
        "",
        "Look at the cable and the switch port of the parent interface.",
        ["CP-8", "SC-5"],
        ["12.1"],
        ["runbook sections 2, 4"],
    ),
    (
        "ACL-001",
        "high",
        "network",
        "Network carries the ACLs of the site",
        "Without its ACLs a network lets every instance reach every other one, of every user.",
        "`incus network set userbr0 security.acls=john-acl` replaces the list and so detaches the others.",
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
        "ACL has no rule that allows everything",
        "A rule that allows everything makes all other rules of its ACL decoration.",
        "Two halves (0.0.0.0/1, 128.0.0.0/1) are everything as well.",
        "",
        "Narrow the rule to the peers and ports that are really used; watch the log of the ACL for a day first.",
        ["AC-4", "AC-6"],
        ["13.4"],
        ["runbook section 6"],
    ),
    (
        "INST-001",
        "critical",
        "instance",
        "Containers are not privileged",
        "Root in a privileged container is root on the host: one escape and every instance of every user is lost.",
        "A profile can set it. A snapshot taken while privileged brings it back on restore.",
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
        "Instances mount no host paths",
        "A mounted host path is a door into the host; a socket in it is an open one.",
        "readonly does not help for a directory that holds a socket (/var/lib/incus, /run/docker.sock). Symlinks cannot be seen.",
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
        "Instances have memory, CPU and process limits",
        "One instance without limits can starve all others on its host.",
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
        "Project is restricted",
        "The user of a project that is not restricted can make a privileged instance and own the host.",
        "restricted unset is false.",
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
        "Restricted project loosens nothing that matters",
        "A restriction that is loosened again is none.",
        "",
        "",
        "Take the loosened key back, or move the instance that needs it into a system project.",
        ["AC-6"],
        ["3.3"],
        ["Incus: projects_confine"],
    ),
    (
        "POOL-001",
        "critical",
        "pool",
        "Pool exists and is Created on every cluster member",
        "Instances whose pool is unavailable on their member do not start again.",
        "Without ?target= the pool says Created while one member is Unavailable.",
        "",
        "Import the zpool; Incus retries each minute. A pool that is missing is made by a person: it formats devices.",
        ["CM-2", "CP-10", "SI-13"],
        ["11.1"],
        ["runbook sections 1, 4"],
    ),
    (
        "POOL-005",
        "medium",
        "pool",
        "ZFS pool was scrubbed lately",
        "Silent corruption is found by a scrub or by the restore that fails.",
        "A resilver overwrites the record of the scrub.",
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
        "No unresolved warnings",
        "A warning that nobody reads is the first half of an outage.",
        'Incus\'s own severity misleads: "Offline cluster member" is low.',
        "",
        "Mend the cause, then `incus warning acknowledge UUID`.",
        ["SI-4", "AU-6"],
        ["8.11"],
        ["Incus source: warningtype"],
    ),
    (
        "HOST-001",
        "critical",
        "host",
        "Host is reachable and answers",
        "Of a host that does not answer nothing is known.",
        "ssh's own failure is exit status 255.",
        "",
        "Find out whether the host is down or only the way to it: console, switch, then sshd.",
        ["CP-10", "SI-4"],
        ["1.1"],
        ["runbook section 1"],
    ),
    (
        "HOST-003",
        "medium",
        "host",
        "Journal of Incus has no recent errors, no unit has failed",
        "What failed in the night fails again.",
        "incusd logs its own level in the text, always at journal priority info: `-p err` finds none of it.",
        "",
        "Read the entries; `systemctl reset-failed` only after the cause is known.",
        ["AU-6", "SI-4"],
        ["8.2"],
        ["runbook section 4"],
    ),
    (
        "IMG-001",
        "low",
        "host",
        "Image is recent, updated by itself, or not kept",
        "Instances made from an old image start with its known holes.",
        "",
        "refresh-image",
        "",
        ["SI-2"],
        ["7.4"],
        ["runbook section 8"],
    ),
]

POLICIES = {
    id: Policy(id, title, Severity(severity), why, examines, {}, None, "", "", traps, remediation or None, by_hand,
               {"nist-800-53r5": nist, "cis-v8": cis}, tuple(source), Path(f"{id}.yaml"))
    for id, severity, examines, title, why, traps, remediation, by_hand, nist, cis, source in _POLICIES
}  # fmt: skip

FAIL, ERROR, WAIVED, NA, PASS = Verdict.FAIL, Verdict.ERROR, Verdict.WAIVED, Verdict.NOT_APPLICABLE, Verdict.PASS
_DOWN = "probe zpool (`zpool status -j`): refused: a terminal is required to read the password"
_ATTACHED = "NET-001@minisrv/sigsrvbr0"

# policy, host, resource, verdict, expected, observed, reason, because
_FINDINGS = [
    ("NET-001", "minisrv", "sigsrvbr0", FAIL, "sigsrv0 attached", "ports: veth91b2c4 veth3f00aa", "", None),
    ("NET-002", "minisrv", "sigsrvbr0", NA, "802.1Q id 20", "", "the interface is not on the bridge", _ATTACHED),
    ("NET-005", "minisrv", "sigsrvbr0", NA, "up, forwarding", "", "the interface is not on the bridge", _ATTACHED),
    ("NET-002", "sigsrv", "userbr0", FAIL, "802.1Q id 24 on user0", "802.1Q id 42 on user0", "", None),
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
    ("PROJ-003", "cluster", "user-john", NA, "nothing loosened", "", "the project is not restricted", "PROJ-001@cluster/user-john"),
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
    ("PROJ-001", "cluster", "default", NA, "restricted is true", "restricted: unset (false)", "exempt: system instances need host devices", None),
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
    "INST-006", "minisrv", "default/legacy-mail", "2026-12-31T23:00:00Z", "replaced by the new mail host in December", 4
)
NFS = waiver("INST-001", "*", "default/nfs", "2026-08-29T21:59:59Z", "kernel NFS server, alone in its VLAN", 10)
SOCKET = waiver(
    "INST-004", "sigsrv", "user-john/build", "2026-07-31T21:59:59Z", f"moves to a machine of its own {STEERING}", 16
)
OLD = waiver("POOL-001", "sigsrv", "hdd", "2026-12-31T23:00:00Z", "waits for its disks", 22)
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


_MENDS = {
    "attach-vlan": "Attach the VLAN interface to its bridge",
    "attach-acl": "Attach the ACLs of the site to the network",
    "unprivilege-instance": "Make the container unprivileged",
    "remove-host-path": "Take the host path out of the instance",
    "limit-instance": "Give the instance the limits of the site",
    "restrict-project": "Restrict the project",
    "scrub-pool": "Scrub the pool",
    "refresh-image": "Refresh the image",
}


def _fix(f: Finding) -> Fix:
    what = shlex.quote(f.resource)
    attach = f.policy == "NET-001"
    return Fix(
        finding=f.id, name=f.remediation or "", command=f"sigsrv-remediate {f.id}", runs_on="sigsrv" if f.host == "cluster" else f.host,
        title=_MENDS[f.remediation or ""],
        disruption="network" if attach else "instance",
        disrupts="Joins two layer-2 segments; instances on the bridge reach the other host again." if attach
        else "Restarts the instance where it runs; some seconds of downtime.",
        undo_text="Takes the interface out of the bridge and puts its addresses back." if attach else "Puts the recorded value back.",
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
