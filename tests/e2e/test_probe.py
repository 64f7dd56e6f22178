"""Tests ``--probe`` on real hosts: the verdicts from frames, and that nothing is left on the hosts even if the scan is
killed.
"""

from __future__ import annotations

import contextlib
import json
import os
import signal
import subprocess
import time
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import pytest

from sigsrv.collect.evidence import Evidence
from sigsrv.model.errors import FailureKind
from sigsrv.model.finding import Run
from sigsrv.scan import scan
from sigsrv.scan.options import Options
from sigsrv.scan.plan import prepare
from tests.e2e.conftest import ROOT, Lab, clean, verdicts

pytestmark = pytest.mark.lab

HOSTS = ("sigsrv", "minisrv")
BRIDGES = ("sigsrvbr0", "incusbr0", "userbr0")


def cleanup_s(lab: Lab) -> int:
    """Return the seconds after which a host has removed by itself what a probe created."""
    return {"ns": 70, "vm": 250}[lab.kind]


def probed(lab: Lab, **options: Any) -> tuple[Run, dict[str, Evidence]]:
    return scan.scan(prepare(Options(site=str(lab.site), probe=True, **options)))


def observed(run: Run) -> dict[str, str]:
    """Return the observations of XHOST-004 and ACL-006."""
    findings = [finding for finding in run.findings if finding.policy in ("XHOST-004", "ACL-006")]
    return {finding.id: finding.observed or finding.reason for finding in findings}


def expected_xhost_004(lab: Lab) -> dict[str, str]:
    """Return the verdicts of XHOST-004 on clean hosts. On userbr0 the ACL rejects pings, so full packets need 802.1Q."""
    tags = all("yes" in lab.on(host, "sh", "-c", "test ! -e /proc/net/vlan || echo yes") for host in HOSTS)
    found = dict.fromkeys([f"XHOST-004@cluster/{bridge}" for bridge in BRIDGES], "pass")
    return found if tags else {**found, "XHOST-004@cluster/userbr0": "not-applicable"}


def state(lab: Lab) -> dict[str, Any]:
    """Return links with all their settings, addresses, kernel modules, and processes that keep a temporary namespace."""
    found: dict[str, Any] = {}
    for host in HOSTS:
        links = json.loads(lab.on(host, "ip", "-j", "-d", "addr", "show"))
        found[f"{host} links"] = [
            (row["ifname"], row["ifindex"], row.get("master"), row["mtu"], row["flags"]) for row in links
        ]
        found[f"{host} macs"] = [(row["ifname"], row.get("address")) for row in links]
        found[f"{host} addresses"] = [(row["ifname"], [each["local"] for each in row["addr_info"]]) for row in links]
        found[f"{host} modules"] = modules(lab, host)
        found[f"{host} holders"] = holders(lab, host)
    return found


def modules(lab: Lab, host: str) -> list[str]:
    """Return the loaded kernel modules; none if the kernel is monolithic."""
    listed = lab.on(host, "sh", "-c", "test ! -e /proc/modules || cat /proc/modules")
    return sorted(line.split()[0] for line in listed.splitlines())


def holders(lab: Lab, host: str) -> list[str]:
    return lab.on(host, "sh", "-c", "grep -lsz '^SIGSRV_PROBE=' /proc/[0-9]*/environ || true").split()


def ports(lab: Lab, host: str) -> list[str]:
    rows = json.loads(lab.on(host, "ip", "-j", "link", "show"))
    return [row["ifname"] for row in rows if row["ifname"].startswith("sgp")]


def next_ifindex(lab: Lab, host: str) -> int:
    """Return the index that the kernel gives to the next link. It counts all links, also removed ones."""
    lab.on(host, "ip", "link", "add", "counted", "type", "bridge")
    number = int(lab.on(host, "cat", "/sys/class/net/counted/ifindex"))
    lab.on(host, "ip", "link", "del", "counted")
    return number


@contextlib.contextmanager
def drop_frames(lab: Lab, host: str, link: str, rule: str) -> Iterator[None]:
    """Drop some or all frames that a host receives on a link. The link itself is unchanged."""
    chain = f"type filter hook ingress device {link} priority 0; {rule};"
    lab.on(host, "nft", f"table netdev lost {{ chain in {{ {chain} }}; }}")
    try:
        yield
    finally:
        lab.on(host, "nft", "delete table netdev lost")


def differing(run: Run) -> dict[str, str]:
    """Return the verdicts that differ from the reviewed ones, except XHOST-004."""
    wanted = clean()
    return {
        key: verdict
        for key, verdict in verdicts(run).items()
        if wanted.get(key) != verdict and not key.startswith("XHOST-004")
    }


@pytest.mark.smoke
def test_clean_hosts_reach_each_other_and_isolate_users(lab):
    """Each bridge carries ARP both ways, and full packets if that can be tested.

    No user's ping reaches another. All other verdicts are unchanged.
    """
    run, _ = probed(lab)

    found = verdicts(run)
    assert {key: found[key] for key in expected_xhost_004(lab)} == expected_xhost_004(lab), observed(run)
    assert differing(run) == {}
    assert (
        observed(run)["XHOST-004@cluster/sigsrvbr0"]
        == "ARP and packets of 1500 bytes pass between sigsrv, minisrv, both ways"
    )
    assert observed(run)["ACL-006@cluster/userbr0"] == "filtered on sigsrv, minisrv; pings: none of 30 passed"


def test_scan_creates_links_only_with_probe_and_removes_them(lab, tmp_path):
    """The kernel's link index proves it: no link without --probe, some with it, and all are removed.

    One login for each host.
    """
    argv = ["sigsrv", "scan", "--site", str(lab.site), "--report-dir", str(tmp_path)]
    lab.command(*argv)
    before, numbers = state(lab), {host: next_ifindex(lab, host) for host in HOSTS}

    without = lab.command(*argv)
    after = {host: next_ifindex(lab, host) for host in HOSTS}
    unchanged = state(lab)
    logins = {host: lab.logins(host) for host in HOSTS}
    done = lab.command(*argv, "--probe")

    assert (without.returncode, done.returncode, done.stdout, done.stderr) == (0, 0, "", "")
    assert unchanged == before
    assert after == {host: number + 1 for host, number in numbers.items()}
    assert {host: lab.logins(host) - logins[host] for host in HOSTS} == dict.fromkeys(HOSTS, 1)
    assert state(lab) == before
    assert all(next_ifindex(lab, host) > after[host] + 1 for host in HOSTS)


def test_pytest_supports_probe_and_saves_its_evidence(lab, tmp_path):
    """The saved evidence gives the same verdicts without a host."""
    argv = ["pytest", "checks", "-q", "--site", str(lab.site), f"--report-dir={tmp_path}"]

    done = lab.command(*argv, "--probe", f"--save={tmp_path / 'kept'}")
    live = verdicts_of(tmp_path)
    again = lab.command(*argv, f"--evidence={tmp_path / 'kept'}")

    assert (done.returncode, again.returncode) == (0, 0), done.stdout
    assert {key: live[key] for key in expected_xhost_004(lab)} == expected_xhost_004(lab)
    assert verdicts_of(tmp_path) == live


def verdicts_of(folder: Path) -> Mapping[str, str]:
    data = json.loads((folder / "latest" / "findings.json").read_text())
    return {finding["id"]: finding["verdict"] for finding in data["findings"]}


def test_vlan_that_carries_nothing_is_found_although_its_links_pass(lab):
    """As if a switch lacked the VLAN: all NET policies pass, and XHOST-004 names the paths."""
    with drop_frames(lab, "minisrv", "sigsrv0", "policy drop"):
        run, _ = probed(lab)
    expected = {**expected_xhost_004(lab), "XHOST-004@cluster/sigsrvbr0": "fail"}
    found = verdicts(run)

    assert {key: found[key] for key in expected} == expected, observed(run)
    assert "from sigsrv to minisrv" in observed(run)["XHOST-004@cluster/sigsrvbr0"]
    assert differing(run) == {}


@pytest.mark.lab("vm")
def test_vlan_that_the_trunk_drops_is_found_only_by_frames(lab):
    """A switch between the hosts lost one VLAN: both hosts look correct, and no frame passes."""
    lab.fault("trunk-drops-vlan", "minisrv")
    try:
        silent, _ = lab.scan()
        run, _ = probed(lab)
    finally:
        lab.fault("trunk-drops-vlan", "minisrv", heal=True)

    assert differing(silent) == {}
    assert verdicts(silent)["XHOST-004@cluster/sigsrvbr0"] == "not-applicable"
    expected = {**expected_xhost_004(lab), "XHOST-004@cluster/sigsrvbr0": "fail"}
    assert {key: verdicts(run)[key] for key in expected} == expected, observed(run)
    assert differing(run) == {}


def test_lost_full_packets_are_found(lab):
    """Small packets pass, and every MTU is that of the site file."""
    with drop_frames(lab, "minisrv", "incus0", "meta length > 1450 drop"):
        run, _ = probed(lab)
    expected = {**expected_xhost_004(lab), "XHOST-004@cluster/incusbr0": "fail"}
    found = verdicts(run)

    assert {key: found[key] for key in expected} == expected, observed(run)
    assert "packets of 1500 bytes are lost from" in observed(run)["XHOST-004@cluster/incusbr0"]
    assert differing(run) == {}


def test_detached_vlan_is_reported_by_net_only(lab):
    """One fault has one root finding: XHOST-004 leaves it to NET-001."""
    lab.fault("vlan-detached", "minisrv")
    try:
        run, _ = probed(lab)
    finally:
        lab.fault("vlan-detached", "minisrv", heal=True)
    (finding,) = [each for each in run.findings if each.id == "XHOST-004@cluster/sigsrvbr0"]

    assert (finding.verdict, finding.because) == ("not-applicable", "NET-001@minisrv/sigsrvbr0")
    assert verdicts(run)["NET-001@minisrv/sigsrvbr0"] == "fail"


def test_ineffective_acl_rules_are_found(lab):
    """Incus has its ACL and the kernel its chains, but one more rule lets a ping pass. Only a ping shows it."""
    for host in HOSTS:
        lab.on(host, "nft", "insert rule inet incus acl.userbr0 meta l4proto icmp accept comment sigsrv-test")
    try:
        run, _ = probed(lab)
        silent, _ = lab.scan()
    finally:
        for host in HOSTS:
            rules = json.loads(lab.on(host, "nft", "-j", "list", "chain", "inet", "incus", "acl.userbr0"))["nftables"]
            for rule in [row["rule"] for row in rules if row.get("rule", {}).get("comment") == "sigsrv-test"]:
                lab.on(host, "nft", "delete", "rule", "inet", "incus", "acl.userbr0", "handle", str(rule["handle"]))

    assert verdicts(silent)["ACL-006@cluster/userbr0"] == "pass"
    assert verdicts(run)["ACL-006@cluster/userbr0"] == "fail"
    assert observed(run)["ACL-006@cluster/userbr0"].startswith("configured, but not effective: ")
    assert "no rule allows it" in observed(run)["ACL-006@cluster/userbr0"]


def test_unfiltered_bridge_lets_pings_pass(lab):
    """On a host whose bridges do not pass frames to the rules, one user's ping reaches another."""
    lab.fault("bridge-unfiltered", "minisrv")
    try:
        run, _ = probed(lab)
    finally:
        lab.fault("bridge-unfiltered", "minisrv", heal=True)

    assert verdicts(run)["ACL-006@cluster/userbr0"] == "fail"
    result = observed(run)["ACL-006@cluster/userbr0"]
    assert "the rules of minisrv do not see IPv4 and IPv6 frames between ports" in result
    assert "pings passed: " in result
    assert "answers an IPv4 ping from a namespace of minisrv" in result


def test_hosts_clean_up_after_a_killed_scan(lab, tmp_path):
    """SIGKILL during the probe: each host removes everything by itself. The next scan is as usual."""
    before = state(lab)
    argv = ["sigsrv", "scan", "--probe", "--site", str(lab.site), "--report-dir", str(tmp_path)]
    env = {**os.environ, "PATH": f"{ROOT / '.venv' / 'bin'}:{os.environ['PATH']}"}
    with subprocess.Popen(argv, cwd=ROOT, env=env, start_new_session=True, stdin=subprocess.DEVNULL) as scanner:
        try:
            began = time.monotonic()
            while not all(ports(lab, host) for host in HOSTS):
                assert time.monotonic() - began < 60 * lab.slowness
                assert scanner.poll() is None
            made = time.monotonic()
            time.sleep(1)
            scanner.kill()
            scanner.wait()
            assert all(len(ports(lab, host)) == 4 for host in HOSTS)
        finally:
            with contextlib.suppress(ProcessLookupError):
                os.killpg(scanner.pid, signal.SIGKILL)  # its ssh
    while any(ports(lab, host) for host in HOSTS):
        assert time.monotonic() - made < cleanup_s(lab) + 10
        time.sleep(1)

    assert state(lab) == before
    assert differing(probed(lab)[0]) == {}


def test_interrupted_scan_cleans_up(lab, tmp_path):
    """Ctrl-C or the end of a cron job: it cleans up long before the hosts would."""
    before = state(lab)
    argv = ["sigsrv", "scan", "--probe", "--site", str(lab.site), "--report-dir", str(tmp_path)]
    env = {**os.environ, "PATH": f"{ROOT / '.venv' / 'bin'}:{os.environ['PATH']}"}
    with subprocess.Popen(argv, cwd=ROOT, env=env, stdin=subprocess.DEVNULL, stderr=subprocess.PIPE) as scanner:
        began = time.monotonic()
        while not all(ports(lab, host) for host in HOSTS):
            assert time.monotonic() - began < 60 * lab.slowness
        scanner.terminate()
        _, result = scanner.communicate(timeout=60)

    assert scanner.returncode == 130
    assert result == b"sigsrv: interrupted\n"
    assert state(lab) == before


def test_two_scans_with_probe_do_not_disturb_each_other(lab, tmp_path):
    """Each has its own names, addresses and processes, and neither reports the other's ports as foreign."""
    before = state(lab)
    env = {**os.environ, "PATH": f"{ROOT / '.venv' / 'bin'}:{os.environ['PATH']}"}
    given = ["--timeout", str(30 * lab.slowness)]  # each waits for the other's answers
    argv = ["sigsrv", "scan", "--probe", "--site", str(lab.site), *given, "--report-dir"]
    both = [subprocess.Popen([*argv, str(tmp_path / "one")], cwd=ROOT, env=env, stdin=subprocess.DEVNULL)]
    time.sleep(1.5)  # one scan reads the links while the other one has ports
    both.append(subprocess.Popen([*argv, str(tmp_path / "other")], cwd=ROOT, env=env, stdin=subprocess.DEVNULL))
    statuses = [each.wait(180 * lab.slowness) for each in both]

    for folder in ("one", "other"):
        found = verdicts_of(tmp_path / folder)
        assert {key: found[key] for key in expected_xhost_004(lab)} == expected_xhost_004(lab)
        assert {key: value for key, value in found.items() if not key.startswith("XHOST-004")} == {
            key: value for key, value in clean().items() if not key.startswith("XHOST-004")
        }
    assert statuses == [0, 0]
    assert state(lab) == before


def test_account_without_rights_sends_no_frames(lab):
    """The reason says that it needs root, and nothing was created."""
    before = state(lab)
    run, evidences = probed(lab, ssh_config=str(lab.ssh_config.with_name("ssh_config.noaccess")))

    for host in HOSTS:
        failure = evidences[host].probes["frames"].failure
        assert failure
        assert failure.kind is FailureKind.DENIED
        assert "root" in failure.reason
    assert {verdicts(run)[key] for key in expected_xhost_004(lab)} == {"error"}
    assert state(lab) == before


def test_single_host_sends_frames_between_its_own_namespaces(lab):
    """XHOST-004 has nothing to compare. ACL-006 is tested on that host."""
    run, evidences = probed(lab, hosts="minisrv")

    assert verdicts(run)["XHOST-004@cluster/cluster"] == "not-applicable"
    assert observed(run)["ACL-006@cluster/userbr0"].startswith("filtered on minisrv; pings: none of ")
    assert {path["host"] for path in json.loads(evidences["minisrv"].probes["frames"].stdout)["paths"]} == {"minisrv"}
