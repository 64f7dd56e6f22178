"""Prints CPU seconds and memory for several numbers of instances, as in docs/benchmarks.md. usage: make bench

Each measurement runs in a process of its own, so none profits from what another one has loaded.
"""

from __future__ import annotations

import argparse
import json
import platform
import subprocess
import sys
import tempfile
from multiprocessing import cpu_count, get_context
from pathlib import Path

from tests.bench.measure import Measured, prepare

COUNTS = (100, 1_000, 10_000)
RUNS = 5
LIMIT_S, LIMIT_BYTES = 3.0, 500_000_000  # for the evaluation of the highest default count
ROOT = Path(__file__).resolve().parents[2]


def best(count: int) -> Measured:
    """Measure an evaluation several times and return the fastest: what else the machine does only adds time."""
    with tempfile.TemporaryDirectory() as folder:
        making = get_context("spawn").Process(target=prepare, args=(Path(folder), count))  # its memory must not count
        making.start()
        making.join()
        argv = [sys.executable, "-m", "tests.bench.measure", folder]
        runs = [subprocess.run(argv, cwd=ROOT, check=True, stdout=subprocess.PIPE, text=True) for _ in range(RUNS)]
    return min((Measured(**json.loads(run.stdout)) for run in runs), key=lambda each: each.judge_s)


def row(found: Measured) -> str:
    """Return a measurement as a row of the table in docs/benchmarks.md."""
    sizes = (found.peak - found.loaded, found.loaded - found.start, found.peak)
    cells = [f"{found.instances:,}", f"{sum(found.findings.values()):,}", f"{found.judge_s:.2f} s"]
    cells += [f"{found.load_s:.2f} s", *(f"{size / 1e6:.0f} MB" for size in sizes)]
    return f"| {' | '.join(cells)} |"


def main() -> int:
    """Print the table. Return 1 if an evaluation takes more than the limits, else 0."""
    parser = argparse.ArgumentParser(prog="make bench", description=__doc__.partition("\n")[0])
    parser.add_argument("counts", metavar="N", type=int, nargs="*", default=COUNTS, help="numbers of instances")
    print(f"Python {platform.python_version()}, {cpu_count()} cores, the best of {RUNS} runs\n")
    print("| instances | findings | CPU to judge | CPU to load | memory to judge | memory of the evidence | peak |")
    print("| ---: | ---: | ---: | ---: | ---: | ---: | ---: |")
    too_much = []
    for count in parser.parse_args().counts:
        found = best(count)
        print(row(found), flush=True)
        if found.judge_s > LIMIT_S or found.peak > LIMIT_BYTES:
            too_much.append(found)
    if too_much:
        print(f"bench: above the limit of {LIMIT_S:.0f} s or {LIMIT_BYTES / 1e6:.0f} MB", file=sys.stderr)
    return 1 if too_much else 0


if __name__ == "__main__":
    sys.exit(main())
