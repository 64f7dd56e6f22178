"""The lab: two real Incus hosts on this machine, brought up once for all tests that need them."""

from __future__ import annotations

import ctypes
import hashlib
import json
import os
import shutil
import ssl
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from sigsrv.collect import urls
from sigsrv.collect.evidence import Evidence
from sigsrv.model.finding import Run
from sigsrv.scan import scan
from sigsrv.scan.options import Options
from sigsrv.scan.plan import prepare

ROOT = Path(__file__).resolve().parents[2]
BIN = Path(sys.executable).parent
CLONE_NEWNET = 0x40000000  # unshare(2)
LONGEST_FIRST = (
    "test_pairs_together",
    "test_transaction",
    "test_probe",
    "test_failures",
)  # else one lab works on alone at the end
STATES = {  # in namespaces, in virtual machines
    "ns": ("SIGSRV_LAB_DIR", "/var/tmp/sigsrv-lab"),
    "vm": ("SIGSRV_VM_LAB_DIR", "/var/tmp/sigsrv-vm-lab"),
}
CERTIFICATES = {
    "CLUSTER_CRT": ("sigsrv", "/var/lib/incus/cluster.crt"),
    "SIGSRV_CRT": ("sigsrv", "/var/lib/incus/server.crt"),
    "MINISRV_CRT": ("minisrv", "/var/lib/incus/server.crt"),
}


@dataclass(frozen=True)
class Lab:
    """A lab as a user has it: its files, and the commands run from the root of the checkout."""

    kind: str = "ns"

    @property
    def files(self) -> Path:
        """Where its ssh_config, known_hosts and site.yaml are."""
        default = ROOT / "lab" / ("" if self.kind == "ns" else self.kind)
        return Path(os.environ.get("SIGSRV_LAB_FILES", default)) if self.kind == "ns" else default

    @property
    def site(self) -> Path:
        return self.files / "site.yaml"

    @property
    def ssh_config(self) -> Path:
        return self.files / "ssh_config"

    @property
    def state(self) -> Path:
        return Path(os.environ.get(*STATES[self.kind]))

    @property
    def slowness(self) -> int:
        """How many times longer than in namespaces whatever happens on a host may take."""
        return {"ns": 1, "vm": 8}[self.kind]

    def api(self, host: str) -> str:
        """The URL of a member's HTTPS API, as it is reached from this machine."""
        ways = {
            "ns": {"sigsrv": "10.213.7.1:8443", "minisrv": "10.213.7.2:8443"},
            "vm": {"sigsrv": "127.0.0.1:21441", "minisrv": "127.0.0.1:21442"},
        }
        return f"https://{ways[self.kind][host]}"

    def ssh_port(self, host: str) -> int:
        """Where the host's sshd is reached from this machine."""
        return 22 if self.kind == "ns" else {"sigsrv": 21401, "minisrv": 21402}[host]

    @property
    def nowhere(self) -> str:
        """An address that nobody has, where a host could be."""
        return {"ns": "10.213.7.99", "vm": "127.0.0.99"}[self.kind]

    def command(
        self, *argv: str, timeout: float = 180, given: str = "", **environment: str
    ) -> subprocess.CompletedProcess[str]:
        """Run a command as its user would, with the environment's own programs first; its standard input is no terminal."""
        env = {**os.environ, "PATH": f"{BIN}:{os.environ['PATH']}", **environment}
        return subprocess.run(
            argv,
            cwd=ROOT,
            env=env,
            capture_output=True,
            text=True,
            timeout=timeout * self.slowness,
            check=False,
            input=given,
        )

    @property
    def program(self) -> tuple[str, str]:
        """The beginning of each command line of the lab's own."""
        return ("lab/lab", f"--lab={self.kind}")

    def on(self, host: str, *argv: str, given: str = "") -> str:
        """Run a command on a host, past ssh; its output. It must succeed."""
        done = self.command(*self.program, "exec", host, *argv, given=given)
        assert done.returncode == 0, done.stderr
        return done.stdout

    def fault(self, name: str, host: str, heal: bool = False) -> None:
        done = self.command("lab/fault", f"--lab={self.kind}", *(["--heal"] if heal else []), name, host)
        assert done.returncode == 0, done.stderr

    def scan(self) -> tuple[Run, dict[str, Evidence]]:
        return scan.scan(prepare(Options(site=str(self.site))))

    def logins(self, host: str) -> int:
        """How many logins the host's sshd has let in."""
        if self.kind == "ns":
            told = (self.state / host / "log" / "sshd.log").read_text(errors="replace")
        else:
            told = self.on(host, "journalctl", "--quiet", "--no-pager", "-t", "sshd-session", "-o", "cat")
        return told.count("Accepted publickey")


_CHOSEN: list[Lab] = []  # the one of this run, from its --lab
_OWN_FOLDERS: list[str] = []  # of a worker with a lab of its own


def pytest_configure(config: pytest.Config) -> None:
    _CHOSEN[:] = [Lab(config.getoption("--lab"))]
    worker = os.environ.get("PYTEST_XDIST_WORKER")
    if worker and os.geteuid() == 0:
        lab_of_its_own(worker)


def lab_of_its_own(worker: str) -> None:
    """Give a worker of pytest-xdist a network namespace, and names for a lab in it: so each has a lab, at the same time."""
    if ctypes.CDLL(None).unshare(CLONE_NEWNET) != 0:
        return  # where that is not allowed no lab starts either, and it says why
    subprocess.run(["ip", "link", "set", "lo", "up"], check=True)
    os.environ["SIGSRV_LAB_DIR"] = f"/var/tmp/sigsrv-lab-{worker}"
    os.environ["SIGSRV_LAB_FILES"] = f"/var/tmp/sigsrv-lab-{worker}-files"
    os.environ["TMPDIR"] = tempfile.tempdir = f"/var/tmp/sigsrv-tmp-{worker}"
    Path(tempfile.tempdir).mkdir(mode=0o700, exist_ok=True)
    _OWN_FOLDERS.extend((os.environ["SIGSRV_LAB_FILES"], tempfile.tempdir))


def pytest_unconfigure() -> None:
    """Take away what a worker had for itself."""
    for folder in _OWN_FOLDERS:
        shutil.rmtree(folder, ignore_errors=True)


def chosen() -> Lab:
    """The lab of this run."""
    return _CHOSEN[0]


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Leave out what the other lab alone can show: ``@pytest.mark.lab("vm")``, and faults that say so.

    Faults are tried together, as test_faults_together and test_pairs_together have them; with ``--every-fault`` each by itself instead.
    """
    kind, alone = chosen().kind, config.getoption("--every-fault")
    others: list[pytest.Item] = []
    for item in (item for item in items if item.get_closest_marker("lab")):
        only = {name for mark in item.iter_markers("lab") for name in mark.args}
        parameters = item.callspec.params if hasattr(item, "callspec") else {}
        case, group = parameters.get("case"), parameters.get("group")
        fits = kind in (case.labs if case else [group.lab] if group else only or [kind])
        if not fits or (not alone if case else alone and group):
            others.append(item)
    items[:] = [item for item in items if item not in set(others)]
    config.hook.pytest_deselected(items=others)
    if "PYTEST_XDIST_WORKER" in os.environ:
        items.sort(key=lambda item: LONGEST_FIRST.index(item.path.stem) if item.path.stem in LONGEST_FIRST else 9)


def verdicts(run: Run) -> dict[str, str]:
    """The whole set of (finding id, verdict) of a run."""
    return {finding.id: finding.verdict.value for finding in run.findings}


def request(text: str) -> str:
    """A text with fingerprints for the words that stand for what is made anew with each lab: its image and certificates."""
    lab = chosen()
    if "BUSYBOX" in text:
        text = text.replace("BUSYBOX", _sha256((lab.state / "busybox.tar.gz").read_bytes()))
    for word, (host, file) in CERTIFICATES.items():
        if word in text:
            text = text.replace(word, _sha256(ssl.PEM_cert_to_DER_cert(lab.on(host, "cat", file))))
    return text


def _sha256(content: bytes) -> str:
    return hashlib.sha256(content).hexdigest()[:12]


def clean() -> dict[str, str]:
    """The reviewed list: what the lab without a fault must give. A file for each family; what only one lab has is below its name."""
    folder = Path(__file__).parent / "clean"
    found: dict[str, str] = {}
    for path in [*sorted(folder.glob("*.json")), *sorted((folder / chosen().kind).glob("*.json"))]:
        found |= json.loads(path.read_text())
    assert found
    return json.loads(request(json.dumps(found)))


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
        kept = ("ifname", "master", "mtu", "linkmode")
        found[f"{host} links"] = {
            # NO-CARRIER says again what the absence of LOWER_UP says, a moment later
            row["ifname"]: {k: row.get(k) for k in kept}
            | {"flags": {*row["flags"]} - {"NO-CARRIER"}}
            | _port_options(row)
            for row in links
            if not row["ifname"].startswith(("veth", "tap"))
        }
        found[f"{host} addresses"] = {
            row["ifname"]: sorted(f"{each['local']}/{each['prefixlen']}" for each in row["addr_info"])
            for row in json.loads(seen.probes["addr"].stdout)
            if not row["ifname"].startswith(("veth", "tap"))
        }
        found[f"{host} config"] = seen.api[urls.SERVER].metadata["config"]
        for address, answer in seen.api.items():
            if address not in (urls.SERVER, urls.WARNINGS, urls.OPERATIONS) and "/resources" not in address:
                found[f"{host} {address}"] = _lasting(answer.metadata)
    return found


def _port_options(link: Mapping[str, Any]) -> dict[str, Any]:
    """What a bridge has set on a port: all that is on or off; empty where it is none."""
    port = link.get("linkinfo", {}).get("info_slave_data", {})
    return {name: value for name, value in port.items() if isinstance(value, bool)}


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
    found = chosen()
    was_up = found.command(*found.program, "status").returncode == 0
    done = found.command(*found.program, "up", timeout=600)
    if done.returncode != 0:
        reason = next((line for line in done.stderr.splitlines() if "error" in line), done.stderr[-200:])
        if os.environ.get("CI") == "true":
            pytest.fail(f"the lab does not start: {done.stderr[-2000:]}", pytrace=False)
        pytest.skip(f"the lab does not start: {reason}")
    yield found
    if not was_up:
        found.command(*found.program, "down")
