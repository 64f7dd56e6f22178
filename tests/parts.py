"""Runs the tests in parts, for ``make test``, ``make test-lab`` and ``make test-all``.

Each part is a separate run of pytest with its own result, and takes less than an hour. CONTRIBUTING.md lists what each part proves.
"""

from __future__ import annotations

import argparse
import os
import subprocess
import sys
import time
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
E2E = Path("tests/e2e")
WORKERS = 3  # more than cores: most tests wait for a timer, a timeout or a daemon
LABS = 2  # labs that run at the same time, each in its own network namespace


@dataclass(frozen=True)
class Part:
    """A part of the tests.

    what: description in one line. minutes: duration on two cores after setup. runs: arguments of pytest, for each run. root: needs root.
    """

    what: str
    minutes: int
    runs: tuple[tuple[str, ...], ...]
    root: bool = True


def _e2e(*files: str) -> tuple[str, ...]:
    return tuple(str(E2E / f"test_{name}.py") for name in files)


_BY_ITSELF = ("lab", "wheel_install")  # the first counts the processes of this machine, the second needs its network
_FIXES = (
    "change_control",
    "fixes_instances",
    "fixes_links",
    "fixes_networks",
    "fixes_profiles",
    "fixes_that_stay",
    "pairs_together",
    "permanent",
    "remediate",
    "remediate_operator",
    "remediate_sudo",
    "site_words",
    "state_guard",
)
_ELSEWHERE = _e2e(*_BY_ITSELF, *_FIXES)
_TOGETHER = ("-n", str(LABS), "--dist", "loadscope", "--no-loadscope-reorder")
_QUICK = ("tests", "-n", str(WORKERS), "--dist", "loadscope", "-m")
_VM = ("--lab=vm",)
_INCUS_7 = ("--lab-incus=7.0", *_TOGETHER)

PARTS = {
    "quick": Part("unit tests; as root also a smoke test of the lab", 5, ((*_QUICK, "not lab or smoke"),), root=False),
    "knockout": Part(
        "each part of the saved evidence, damaged",
        5,
        (("tests/test_knockout.py", "--every-knockout", "-n", str(LABS), "--dist", "loadscope"),),
        root=False,
    ),
    "lab": Part(
        "the namespace lab; faults in groups",
        15,
        (_e2e(*_BY_ITSELF), (str(E2E), *(f"--ignore={file}" for file in _ELSEWHERE), *_TOGETHER)),
    ),
    "lab-fixes": Part("namespaces: every fix, among changes of others", 40, ((*_e2e(*_FIXES), *_TOGETHER),)),
    "hosts": Part(
        "namespaces: three members, and a server alone",
        3,
        ((*_e2e("three_hosts"), "--lab-hosts=3"), (*_e2e("one_host"), "--lab-hosts=1")),
    ),
    "incus-7": Part(
        "namespaces: Incus 7.0: scans, drafts, a fix",
        3,
        ((*_e2e("incus7", "scan", "init"), *_INCUS_7),),
    ),
    "incus-7-faults": Part(
        "namespaces: Incus 7.0: faults, in groups",
        5,
        ((*_e2e("faults_together"), *_INCUS_7),),
    ),
    "faults-alone": Part("namespaces: each fault alone", 10, ((*_e2e("faults"), "--every-fault"),)),
    "remediations-alone": Part("namespaces: each remediation alone", 45, ((*_e2e("pairs"), "--every-fault"),)),
    "vm-scan": Part(
        "VMs: scans, transports, sigsrv init",
        45,
        ((*_e2e("vm_lab", "scan", "transports", "init", "secrets", "connectivity", "unanswered"), *_VM),),
    ),
    "vm-faults": Part("VMs: faults, in groups", 50, ((*_e2e("faults", "faults_together"), *_VM),)),
    "vm-frames": Part("VMs: frames, ACLs, outages", 55, ((*_e2e("probe", "acl_matrix", "outage"), *_VM),)),
    "vm-remediate": Part(
        "VMs: sigsrv-remediate, transactions, power cuts",
        50,
        ((*_e2e("remediate", "remediate_sudo", "transaction", "voter", "power"), *_VM),),
    ),
    "vm-fixes-1": Part("VMs: fixes of networks, with bystanders", 50, ((*_e2e("fixes_networks"), *_VM),)),
    "vm-fixes-2": Part("VMs: fixes of links, the state guard", 50, ((*_e2e("fixes_links", "state_guard"), *_VM),)),
    "vm-fixes-3": Part("VMs: fixes of instances, with bystanders", 50, ((*_e2e("fixes_instances"), *_VM),)),
    "vm-fixes-4": Part(
        "VMs: permanent fixes, what an operator decides", 50, ((*_e2e("permanent", "remediate_operator"), *_VM),)
    ),
    "vm-fixes-5": Part(
        "VMs: fixes in profiles, windows and approvals", 50, ((*_e2e("fixes_profiles", "change_control"), *_VM),)
    ),
    "vm-remediations-1": Part(
        "VMs: fixes of servers, accounts, projects",
        35,
        ((*_e2e("pairs_together"), *_VM, "-k", "server"),),
    ),
    "vm-remediations-2": Part(
        "VMs: fixes of networks and links",
        40,
        ((*_e2e("pairs_together"), *_VM, "-k", "networks or links"),),
    ),
    "vm-remediations-3": Part(
        "VMs: fixes of instances, profiles and others",
        40,
        ((*_e2e("pairs_together"), *_VM, "-k", "not (server or networks or links)"),),
    ),
}


def run(name: str) -> tuple[int, float]:
    """Run a part. Returns the first exit status that is not 0, and the duration in seconds."""
    began, status = time.monotonic(), 0
    if os.geteuid() == 0:  # in time: inside a test's lab no package can be downloaded. The lab reports why if it fails
        subprocess.run(["lab/lab", "install"], cwd=ROOT, check=False)
        if any("--lab-incus=7.0" in arguments for arguments in PARTS[name].runs):
            subprocess.run(["lab/lab", "--incus=7.0", "install"], cwd=ROOT, check=False)
    for arguments in PARTS[name].runs:
        if name == "quick" and os.geteuid() != 0:
            arguments = tuple("not lab" if each == "not lab or smoke" else each for each in arguments)
        done = subprocess.run([sys.executable, "-m", "pytest", "-q", *arguments], cwd=ROOT, check=False)
        status = status or done.returncode
    return status, time.monotonic() - began


def left_out(names: list[str]) -> str:
    """Return the parts that did not run, with duration and command."""
    others = {name: part for name, part in PARTS.items() if name not in names}
    lines = ["", "not run:"] if others else []
    if names == ["quick"] and os.geteuid() != 0:
        lines.append(
            f"  {'smoke':<19} {1:>3} min  the smoke test of the lab; needs root\n  {'':<19}          sudo make test"
        )
    for name, part in others.items():
        command = "make test-lab" if name == "lab" else f"make test-part PART={name}"
        lines += [f"  {name:<19} {part.minutes:>3} min  {part.what}", f"  {'':<19}          {command}"]
    return "\n".join([*lines, "all parts: make test-all"] if others else lines)


def main() -> int:
    """Run the named parts, or all if none is named. Returns the exit status: 0 passed, 1 a test failed, 2 wrong use."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("part", nargs="*", help=", ".join(PARTS))
    names = parser.parse_args().part or list(PARTS)
    if unknown := [name for name in names if name not in PARTS]:
        parser.error(f"no such part: {unknown[0]}; the parts are {', '.join(PARTS)}")
    if os.geteuid() != 0 and (roots := [name for name in names if PARTS[name].root]):
        parser.error(f"{roots[0]} needs root, because the lab creates namespaces or virtual machines")
    results = {}
    for name in names:
        print(f"part {name}: {PARTS[name].what}", flush=True)
        results[name] = run(name)
    print()
    for name, (status, seconds) in results.items():
        print(f"{name}: {'passed' if status == 0 else f'failed (pytest exit status {status})'} in {seconds:.0f} s")
    print(left_out(names))
    return int(any(status for status, _ in results.values()))


if __name__ == "__main__":
    sys.exit(main())
