"""The lab: two real Incus hosts on this machine, brought up once for all tests that need them."""

from __future__ import annotations

import hashlib
import json
import os
import ssl
import subprocess
import sys
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from sigsrv import scan
from sigsrv.collect import Evidence
from sigsrv.collect import api as url
from sigsrv.finding import Run

ROOT = Path(__file__).resolve().parents[2]
BIN = Path(sys.executable).parent
CERTIFICATES = {
    "CLUSTER_CRT": "sigsrv/incus/cluster.crt",
    "SIGSRV_CRT": "sigsrv/incus/server.crt",
    "MINISRV_CRT": "minisrv/incus/server.crt",
}
STATE = Path(os.environ.get("SIGSRV_LAB_DIR", "/var/tmp/sigsrv-lab"))


@dataclass(frozen=True)
class Lab:
    """The lab as a user has it: its files, and the commands run from the root of the checkout."""

    site: Path = ROOT / "lab" / "site.yaml"
    ssh_config: Path = ROOT / "lab" / "ssh_config"

    def command(self, *argv: str, timeout: float = 180, **environment: str) -> subprocess.CompletedProcess[str]:
        """Run a command as its user would, with the environment's own programs first; its standard input is no terminal."""
        env = {**os.environ, "PATH": f"{BIN}:{os.environ['PATH']}", **environment}
        return subprocess.run(
            argv,
            cwd=ROOT,
            env=env,
            capture_output=True,
            text=True,
            timeout=timeout,
            check=False,
            stdin=subprocess.DEVNULL,
        )

    def on(self, host: str, *argv: str) -> str:
        """Run a command on a host, past ssh; its output. It must succeed."""
        done = self.command("lab/lab", "exec", host, *argv)
        assert done.returncode == 0, done.stderr
        return done.stdout

    def fault(self, name: str, host: str, heal: bool = False) -> None:
        done = self.command("lab/fault", *(["--heal"] if heal else []), name, host)
        assert done.returncode == 0, done.stderr

    def scan(self) -> tuple[Run, dict[str, Evidence]]:
        return scan.scan(scan.prepare(scan.Options(site=str(self.site))))

    def logins(self, host: str) -> int:
        """How many logins the host's sshd has let in."""
        return (STATE / host / "log" / "sshd.log").read_text(errors="replace").count("Accepted publickey")


def verdicts(run: Run) -> dict[str, str]:
    """The whole set of (finding id, verdict) of a run."""
    return {finding.id: finding.verdict.value for finding in run.findings}


def named(text: str) -> str:
    """A text with fingerprints for the words that stand for what is made anew with each lab: its image and certificates."""
    if "BUSYBOX" in text:
        text = text.replace("BUSYBOX", _sha256((STATE / "busybox.tar.gz").read_bytes()))
    for word, file in CERTIFICATES.items():
        if word in text:
            text = text.replace(word, _sha256(ssl.PEM_cert_to_DER_cert((STATE / file).read_text())))
    return text


def _sha256(content: bytes) -> str:
    return hashlib.sha256(content).hexdigest()[:12]


def clean() -> dict[str, str]:
    """The reviewed list, a file for each family: what the lab without a fault must give."""
    found: dict[str, str] = {}
    for path in sorted((Path(__file__).parent / "clean").glob("*.json")):
        found |= json.loads(named(path.read_text()))
    assert found
    return found


# With one host alone: of the cluster, what lies on the other is not looked at.
_MISSED = {
    "sigsrv": ("ACL-006@cluster/userbr0", "INST-009@cluster/cluster"),
    "minisrv": ("VOL-001@cluster/cluster", "VOL-002@cluster/cluster"),
}


def alone(host: str) -> dict[str, str]:
    """The reviewed list where one host was selected: nothing of the other, and nothing to hold the two against each other."""
    (other,) = {"sigsrv", "minisrv"} - {host}
    found = {
        key: verdict for key, verdict in clean().items() if f"@{other}/" not in key and not key.startswith("XHOST-")
    }
    missed = (*_MISSED[host], *(f"XHOST-00{number}@cluster/cluster" for number in range(1, 5)))
    return found | dict.fromkeys(missed, "not-applicable")


def state_of(evidences: Mapping[str, Evidence]) -> dict[str, Any]:
    """The state of the hosts, without what changes by itself: counters, times, generated names, Incus's volatile keys."""
    found: dict[str, Any] = {}
    for host, seen in evidences.items():
        links = json.loads(seen.probes["link"].stdout)
        kept = ("ifname", "master", "mtu", "flags", "linkmode")
        found[f"{host} links"] = {
            row["ifname"]: {k: row.get(k) for k in kept}
            for row in links
            if not row["ifname"].startswith(("veth", "tap"))
        }
        found[f"{host} addresses"] = {
            row["ifname"]: sorted(f"{each['local']}/{each['prefixlen']}" for each in row["addr_info"])
            for row in json.loads(seen.probes["addr"].stdout)
            if not row["ifname"].startswith(("veth", "tap"))
        }
        found[f"{host} config"] = seen.api[url.SERVER].metadata["config"]
        for address, answer in seen.api.items():
            if address not in (url.SERVER, url.WARNINGS, url.OPERATIONS) and "/resources" not in address:
                found[f"{host} {address}"] = _lasting(answer.metadata)
    return found


def _lasting(value: Any) -> Any:
    if isinstance(value, dict):
        passing = ("state", "last_used_at", "created_at", "used_by", "message")
        return {k: _lasting(v) for k, v in value.items() if k not in passing and not k.startswith("volatile.")}
    if isinstance(value, list):
        return sorted((_lasting(item) for item in value), key=lambda item: json.dumps(item, sort_keys=True))
    return value


@pytest.fixture(scope="session")
def lab() -> Iterator[Lab]:
    """The lab, up. Where it can't run the tests are skipped with the reason; with CI=true that is a failure."""
    found = Lab()
    was_up = found.command("lab/lab", "status").returncode == 0
    done = found.command("lab/lab", "up", timeout=600)
    if done.returncode != 0:
        reason = next((line for line in done.stderr.splitlines() if "error" in line), done.stderr[-200:])
        if os.environ.get("CI") == "true":
            pytest.fail(f"the lab does not start: {done.stderr[-2000:]}", pytrace=False)
        pytest.skip(f"the lab does not start: {reason}")
    yield found
    if not was_up:
        found.command("lab/lab", "down")
