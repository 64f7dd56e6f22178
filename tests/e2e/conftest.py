"""Provides the lab: real Incus hosts on this machine, brought up once for all tests that need them."""

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
from collections.abc import Collection, Iterator, Mapping
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
)  # otherwise one worker would run alone at the end
STATES = {  # of namespaces, of virtual machines
    "ns": ("SIGSRV_LAB_DIR", "/var/tmp/sigsrv-lab"),
    "vm": ("SIGSRV_VM_LAB_DIR", "/var/tmp/sigsrv-vm-lab"),
}
CERTIFICATES = {
    "CLUSTER_CRT": ("sigsrv", "/var/lib/incus/cluster.crt"),
    "SIGSRV_CRT": ("sigsrv", "/var/lib/incus/server.crt"),
    "MINISRV_CRT": ("minisrv", "/var/lib/incus/server.crt"),
    "TWINSRV_CRT": ("twinsrv", "/var/lib/incus/server.crt"),
}


@dataclass(frozen=True)
class Lab:
    """Represents a lab as its user sees it: its files, and its commands, which run in the root of the checkout."""

    kind: str = "ns"
    hosts: int = 2
    incus: str = "6.0"

    @property
    def name(self) -> str:
        """Return what the marks of tests and the lists of verdicts call this lab."""
        if self.hosts != 2:
            return f"hosts-{self.hosts}"
        return self.kind if self.incus == "6.0" else f"incus-{self.incus}"

    @property
    def members(self) -> tuple[str, ...]:
        """Return the names of its hosts."""
        return ("sigsrv", "minisrv", "twinsrv")[: self.hosts]

    def shows(self, labs: Collection[str]) -> bool:
        """Return whether a test fits that names these labs; a test that names none needs two hosts."""
        if self.name in labs:
            return True
        return self.hosts == 2 and (not labs or self.kind in labs)

    @property
    def files(self) -> Path:
        """Return the folder with its ssh_config, known_hosts and site.yaml."""
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
        """Return the factor by which waiting times exceed those of namespaces."""
        return {"ns": 1, "vm": 8}[self.kind]

    def api(self, host: str) -> str:
        """Return the URL of a member's HTTPS API, as this machine reaches it."""
        ways = {
            "ns": {"sigsrv": "10.213.7.1:8443", "minisrv": "10.213.7.2:8443", "twinsrv": "10.213.7.3:8443"},
            "vm": {"sigsrv": "127.0.0.1:21441", "minisrv": "127.0.0.1:21442"},
        }
        return f"https://{ways[self.kind][host]}"

    def ssh_port(self, host: str) -> int:
        """Return the port of the host's sshd, as this machine reaches it."""
        return 22 if self.kind == "ns" else {"sigsrv": 21401, "minisrv": 21402}[host]

    @property
    def unused_address(self) -> str:
        """Return an address in the range of the hosts that nothing uses."""
        return {"ns": "10.213.7.99", "vm": "127.0.0.99"}[self.kind]

    def command(
        self, *argv: str, timeout: float = 180, given: str = "", **environment: str
    ) -> subprocess.CompletedProcess[str]:
        """Run a command as its user would, with the programs of the virtual environment first.

        Its standard input is not a terminal.
        """
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
        """Return the beginning of each command line of lab/lab."""
        return ("lab/lab", f"--lab={self.kind}")

    def on(self, host: str, *argv: str, given: str = "") -> str:
        """Run a command on a host without ssh and return its output. It must succeed."""
        done = self.command(*self.program, "exec", host, *argv, given=given)
        assert done.returncode == 0, done.stderr
        return done.stdout

    def fault(self, name: str, host: str, heal: bool = False) -> None:
        done = self.command("lab/fault", f"--lab={self.kind}", *(["--heal"] if heal else []), name, host)
        assert done.returncode == 0, done.stderr

    def scan(self) -> tuple[Run, dict[str, Evidence]]:
        return scan.scan(prepare(Options(site=str(self.site))))

    def logins(self, host: str) -> int:
        """Count the logins that the host's sshd has accepted."""
        if self.kind == "ns":
            log = (self.state / host / "log" / "sshd.log").read_text(errors="replace")
        else:
            log = self.on(host, "journalctl", "--quiet", "--no-pager", "-t", "sshd-session", "-o", "cat")
        return log.count("Accepted publickey")


_CHOSEN: list[Lab] = []  # the lab of this run, from --lab
_OWN_FOLDERS: list[str] = []  # folders of a worker with its own lab


def pytest_configure(config: pytest.Config) -> None:
    _CHOSEN[:] = [Lab(*(config.getoption(f"--{each}") for each in ("lab", "lab-hosts", "lab-incus")))]
    worker = os.environ.get("PYTEST_XDIST_WORKER")
    if worker and os.geteuid() == 0:
        isolate_worker(worker)


def isolate_worker(worker: str) -> None:
    """Give a worker of pytest-xdist its own network namespace and names for its own lab, so several labs run at the
    same time.
    """
    if ctypes.CDLL(None).unshare(CLONE_NEWNET) != 0:
        return  # without this right no lab starts either, and the lab reports why
    subprocess.run(["ip", "link", "set", "lo", "up"], check=True)
    os.environ["SIGSRV_LAB_DIR"] = f"/var/tmp/sigsrv-lab-{worker}"
    os.environ["SIGSRV_LAB_FILES"] = f"/var/tmp/sigsrv-lab-{worker}-files"
    os.environ["TMPDIR"] = tempfile.tempdir = f"/var/tmp/sigsrv-tmp-{worker}"
    Path(tempfile.tempdir).mkdir(mode=0o700, exist_ok=True)
    _OWN_FOLDERS.extend((os.environ["SIGSRV_LAB_FILES"], tempfile.tempdir))


def pytest_unconfigure() -> None:
    """Remove the folders of a worker."""
    for folder in _OWN_FOLDERS:
        shutil.rmtree(folder, ignore_errors=True)


def chosen_lab() -> Lab:
    """Return the lab of this run."""
    return _CHOSEN[0]


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Deselect tests for another lab: those marked ``@pytest.mark.lab("vm")``, and faults that name their lab.

    By default faults are tested in groups (test_faults_together, test_pairs_together). ``--every-fault`` tests each
    one alone instead.
    """
    chosen, every_fault = chosen_lab(), config.getoption("--every-fault")
    others: list[pytest.Item] = []
    for item in (item for item in items if item.get_closest_marker("lab")):
        only = {name for mark in item.iter_markers("lab") for name in mark.args}
        parameters = item.callspec.params if hasattr(item, "callspec") else {}
        case, group = parameters.get("case"), parameters.get("group")
        fits = chosen.shows(case.labs if case else [group.lab] if group else only)
        if not fits or (not every_fault if case else every_fault and group):
            others.append(item)
    items[:] = [item for item in items if item not in set(others)]
    config.hook.pytest_deselected(items=others)
    if "PYTEST_XDIST_WORKER" in os.environ:
        items.sort(key=lambda item: LONGEST_FIRST.index(item.path.stem) if item.path.stem in LONGEST_FIRST else 9)


def verdicts(run: Run) -> dict[str, str]:
    """Return the verdict of each finding of a run, by finding id."""
    return {finding.id: finding.verdict.value for finding in run.findings}


def with_fingerprints(text: str) -> str:
    """Replace placeholders by the fingerprints of the lab's image and certificates, which differ for each lab."""
    lab = chosen_lab()
    if "BUSYBOX" in text:
        text = text.replace("BUSYBOX", _sha256((lab.state / "busybox.tar.gz").read_bytes()))
    for word, (host, file) in CERTIFICATES.items():
        if word in text:
            text = text.replace(word, _sha256(ssl.PEM_cert_to_DER_cert(lab.on(host, "cat", file))))
    return text


def _sha256(content: bytes) -> str:
    return hashlib.sha256(content).hexdigest()[:12]


def clean() -> dict[str, str]:
    """Return the reviewed verdicts of the lab without a fault.

    There is one file per family. The folder of the virtual machines has what differs there, that of any other lab the whole list.
    """
    folder, lab = Path(__file__).parent / "clean", chosen_lab()
    found: dict[str, str] = {}
    families = sorted(folder.glob("*.json")) if lab.name in ("ns", "vm") else []
    for path in [*families, *sorted((folder / lab.name).glob("*.json"))]:
        found |= json.loads(path.read_text())
    assert found
    return json.loads(with_fingerprints(json.dumps(found)))


# Findings that need the other host. They are not applicable when only one host is selected.
_MISSED = {
    "sigsrv": ("ACL-006@cluster/userbr0", "INST-009@cluster/cluster"),
    "minisrv": ("VOL-001@cluster/cluster", "VOL-002@cluster/cluster"),
}


def clean_with_one_host(host: str) -> dict[str, str]:
    """Return the reviewed verdicts if only one host is selected, without the findings that need both."""
    (other,) = {"sigsrv", "minisrv"} - {host}
    found = {
        key: verdict for key, verdict in clean().items() if f"@{other}/" not in key and not key.startswith("XHOST-")
    }
    missed = (*_MISSED[host], *(f"XHOST-00{number}@cluster/cluster" for number in range(1, 6)))
    return found | dict.fromkeys(missed, "not-applicable")


def state_of(evidences: Mapping[str, Evidence]) -> dict[str, Any]:
    """Return the state of the hosts without values that change by themselves: counters, times, generated names,
    volatile keys of Incus.
    """
    found: dict[str, Any] = {}
    for host, seen in evidences.items():
        links = json.loads(seen.probes["link"].stdout)
        kept = ("ifname", "master", "mtu", "linkmode")
        found[f"{host} links"] = {
            # NO-CARRIER repeats the absence of LOWER_UP a moment later
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
    """Return the options of a bridge port that are on or off; empty if the link is not a port."""
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
    """Provide the running lab. If it can't run, the tests are skipped with the reason; with CI=true they fail."""
    found = chosen_lab()
    was_up = found.command(*found.program, "status").returncode == 0
    wanted = [f"--hosts={found.hosts}", f"--incus={found.incus}"] if found.kind == "ns" else []
    done = found.command(*found.program, *wanted, "up", timeout=600)
    if done.returncode != 0:
        reason = next((line for line in done.stderr.splitlines() if "error" in line), done.stderr[-200:])
        if os.environ.get("CI") == "true":
            pytest.fail(f"the lab does not start: {done.stderr[-2000:]}", pytrace=False)
        pytest.skip(f"the lab does not start: {reason}")
    yield found
    if not was_up:
        found.command(*found.program, "down")
