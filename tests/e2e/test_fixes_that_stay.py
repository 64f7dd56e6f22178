"""Tests on a lab of namespaces the fixes that have no undo, and those that need a site file of their own."""

from __future__ import annotations

import json
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path

import pytest
import yaml

from sigsrv.model import data
from sigsrv.model.fix import render
from tests.e2e.conftest import Lab
from tests.e2e.safety import leftovers, options

pytestmark = pytest.mark.lab("ns")

RULES = "XHOST-003@cluster/incusbr0"
LOADED = "ACL-007@minisrv/userbr0"
LOGS = "AUTH-006@cluster/cluster"
SWITCH = "/proc/sys/kernel/dmesg_restrict"
# A host of namespaces has no systemd. This systemctl knows incus.service, and asks the real one for everything else.
SYSTEMCTL = r"""#!/bin/sh
pid() {
  for each in /proc/[0-9]*; do
    if [ "$(readlink "$each/exe" 2>/dev/null)" = /usr/libexec/incus/incusd ] && tr '\0' ' ' <"$each/cmdline" | grep -q -e --logfile; then
      basename "$each"
      return
    fi
  done
}
case "$*" in
  *is-active*incus.service) [ -n "$(pid)" ] ;;
  "show -p ActiveEnterTimestamp incus.service") echo ActiveEnterTimestamp= ;;
  "restart incus.service")
    kill -TERM "$(pid)"
    while [ -n "$(pid)" ]; do sleep 0.2; done
    setsid -f /usr/libexec/incus/incusd --group incus-admin --logfile /var/log/incus/incusd.log >/dev/null 2>&1 </dev/null
    /usr/libexec/incus/incusd waitready --timeout=60
    ;;
  *) exec /run/systemctl.real "$@" ;;
esac
"""


def run(lab: Lab, folder: Path, site: Path, *argv: str):
    """Run sigsrv-remediate with a site file of its own."""
    return lab.command(
        "sigsrv-remediate",
        "--site",
        str(site),
        "--journal",
        str(folder / "j.sqlite"),
        *options(lab),
        *argv,
        timeout=300,
    )


def site_with(lab: Lab, folder: Path, **more: object) -> Path:
    """Write the site file of the lab with other values at its top level, and return its path."""
    content = {**yaml.safe_load(lab.site.read_text()), **more}
    for host in content["hosts"]:
        host["ssh_config"] = str(lab.site.parent / host["ssh_config"])
    path = folder / "site.yaml"
    path.write_text(json.dumps(content))
    return path


def test_rules_that_somebody_added_are_replaced_on_each_member(lab, tmp_path):
    """Incus loads the rules of the ACL again. An undo changes nothing, and shows the rules that were there."""
    lab.fault("acl-by-hand", "minisrv")
    try:
        done = run(lab, tmp_path, lab.site, RULES, "--yes")
        assert done.returncode == 0, done.stdout + done.stderr
        assert "8080" not in lab.on("minisrv", "nft", "list", "chain", "inet", "incus", "acl.incusbr0")
        assert "user." not in lab.on("minisrv", "incus", "network", "acl", "show", "mgmt-base")

        undone = run(lab, tmp_path, lab.site, "--undo", done.stdout.split()[-1], "--yes")

        assert undone.returncode == 0, undone.stdout + undone.stderr
        assert "the rules that Incus has stay loaded" in undone.stdout
    finally:
        lab.fault("acl-by-hand", "minisrv", heal=True)


@pytest.fixture
def with_systemctl(lab: Lab) -> Iterator[None]:
    """Give minisrv a systemctl that knows incus.service."""
    lab.on("minisrv", "cp", "/usr/bin/systemctl", "/run/systemctl.real")
    lab.on("minisrv", "sh", "-c", f"cat >/run/systemctl <<'E'\n{SYSTEMCTL}E\nchmod 755 /run/systemctl")
    lab.on("minisrv", "mount", "--bind", "/run/systemctl", "/usr/bin/systemctl")
    yield
    lab.on("minisrv", "umount", "/usr/bin/systemctl")


PLAN, SCRIPT = 1, 4  # who refuses, as the exit status says
BYSTANDERS = {
    "a port that Incus would delete": (
        "ip link add vx9 type vxlan id 9 dstport 4789 dev eth0 && ip link set vx9 master userbr0 up",
        "ip link del vx9",
        "Incus would delete vx9 (vxlan), a port of userbr0 that bridge.external_interfaces does not name",
        PLAN,
    ),
    "a further address": (
        "ip addr add 172.24.9.9/16 dev userbr0",
        "ip addr del 172.24.9.9/16 dev userbr0",
        "Incus would delete the address 172.24.9.9/16 of userbr0, which is not the network's own",
        PLAN,
    ),
    "a guest that would start": (
        "incus config set stopped-b boot.autostart=true",
        "incus config unset stopped-b boot.autostart",
        "a restart of the daemon would start default/stopped-b",
        SCRIPT,
    ),
}


def test_daemon_is_restarted_only_if_nothing_is_lost(lab, tmp_path, with_systemctl):
    """Each bystander is refused by name and is unharmed. Then the restart loads the rules of all networks, and guests keep running."""
    ignored = [
        "Instance type not operational",
        "Couldn't find the CGroup hugetlb controller",
        "AppArmor support has been disabled",
    ]  # each start reports those that the kernel of this machine gives a reason for
    site = site_with(lab, tmp_path, warnings_ignored=ignored)
    lab.fault("ruleset-flushed", "minisrv")
    try:
        for put, take, reason, status in BYSTANDERS.values():
            lab.on("minisrv", "sh", "-c", put)
            try:
                refused = run(lab, tmp_path, site, LOADED, "--yes")
                assert refused.returncode == status, refused.stdout + refused.stderr
                assert "refused: " in refused.stderr
                assert reason in " ".join(refused.stderr.split())
            finally:
                lab.on("minisrv", "sh", "-c", take)
        guests = lab.on("minisrv", "incus", "list", "--all-projects", "-f", "csv", "-c", "nsp")

        done = run(lab, tmp_path, site, LOADED, "--yes")

        assert done.returncode == 0, done.stdout + done.stderr
        assert "acl.incusbr0" in lab.on("minisrv", "nft", "list", "table", "inet", "incus")
        assert lab.on("minisrv", "incus", "list", "--all-projects", "-f", "csv", "-c", "nsp") == guests
    finally:
        lab.fault("ruleset-flushed", "minisrv", heal=True)
        lab.fault("incusd-stopped", "minisrv", heal=True)  # forgets the warnings of the start
    assert leftovers(lab) == ""


class _Loki(BaseHTTPRequestHandler):
    def do_POST(self) -> None:
        self.rfile.read(int(self.headers.get("Content-Length", 0)))
        self.send_response(204)
        self.end_headers()

    def log_message(self, *_: object) -> None:
        """Say nothing."""


def test_logs_are_sent_only_to_a_target_that_answers(lab, tmp_path):
    """Incus 6.0.4 answers no change of its configuration while it waits for a target. Undo restores both keys in one request."""
    address = "10.213.7.254"
    target = {"name": "audit", "type": "loki", "address": f"http://{address}:3100"}
    auth = {**yaml.safe_load(lab.site.read_text())["auth"], "log_targets_min": 1, "log_targets": [target]}
    site = site_with(lab, tmp_path, auth=auth)

    refused = run(lab, tmp_path, site, LOGS, "--yes")
    assert f"refused: {address}/3100 accepts no connection" in refused.stderr

    server = HTTPServer((address, 3100), _Loki)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    try:
        done = run(lab, tmp_path, site, LOGS, "--yes")
        assert done.returncode == 0, done.stdout + done.stderr
        undone = run(lab, tmp_path, site, "--undo", done.stdout.split()[-1], "--yes")
        assert undone.returncode == 0, undone.stdout + undone.stderr
        assert "loki" not in lab.on("sigsrv", "incus", "config", "show")
    finally:
        server.shutdown()
        server.server_close()


def test_kernel_log_is_restricted_and_opened_again(lab):
    """The switch belongs to the machine, so a file stands in for it. The file in sysctl.d comes and goes with the fix."""
    folder = data.folder("remediations") / "restrict-kernel-log"
    values = {"refuse": "", "host": "minisrv"}
    apply, undo = (render(folder / f"{name}.sh.j2", values) for name in ("apply", "undo"))
    begin = "mkdir -p /run/log-state; SIGSRV_STATE=/run/log-state; export SIGSRV_STATE\n"
    look = f"cat {SWITCH}; cat /etc/sysctl.d/60-sigsrv-kernel-log.conf 2>/dev/null || true"
    lab.on("minisrv", "sh", "-c", f"echo 0 >/run/dmesg; mount --bind /run/dmesg {SWITCH}")
    try:
        lab.on("minisrv", "sh", "-c", begin + apply)
        assert lab.on("minisrv", "sh", "-c", look) == "1\nkernel.dmesg_restrict = 1\n"
        lab.on("minisrv", "sh", "-c", begin + undo)
        assert lab.on("minisrv", "sh", "-c", look) == "0\n"
    finally:
        lab.on("minisrv", "sh", "-c", f"umount {SWITCH}; rm -r /run/log-state")
