"""Provides hosts for tests that need a real kernel but no Incus.

A host is a network namespace of this machine, with a bridge and a veth link to another host.
"""

from __future__ import annotations

import contextlib
import os
import shlex
import shutil
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from sigsrv.collect.session import LocalSession
from sigsrv.collect.target import Target

TOOLS = ("ip", "nsenter", "unshare", "ping", "nft")
MISSING = [tool for tool in TOOLS if not shutil.which(tool)]
needs_root = pytest.mark.skipif(
    sys.platform != "linux" or os.geteuid() != 0 or bool(MISSING),
    reason=f"needs root on Linux{''.join(f', and {tool}' for tool in MISSING)}",
)


@dataclass(frozen=True)
class Space:
    """A host: a process with its own network and mount namespace."""

    name: str
    pid: int

    def on(self, *argv: str, check: bool = True) -> str:
        """Run a command on the host and return its output."""
        done = subprocess.run(
            ["nsenter", "-t", str(self.pid), "-n", "-m", *argv], capture_output=True, text=True, check=False
        )
        assert not check or done.returncode == 0, done.stderr
        return done.stdout

    def links(self) -> list[str]:
        """Return the links with their numbers. A link that was created and removed leaves a gap in the numbers."""
        return [line.partition(":")[0] + line.split(":")[1] for line in self.on("ip", "-o", "link").splitlines()]

    def holders(self) -> list[str]:
        """Return the processes on the host that keep a temporary namespace of a probe open.

        Only those with the host's mount namespace count: this machine may run probes of other tests.
        """
        found = []
        for folder in Path("/proc").glob("[0-9]*"):
            with contextlib.suppress(OSError):
                mounts = (folder / "ns" / "mnt").readlink()
                marked = b"SIGSRV_PROBE=" in (folder / "environ").read_bytes()
                if marked and mounts == Path(f"/proc/{self.pid}/ns/mnt").readlink():
                    found.append(folder.name)
        return found

    def forwards(self, port: str) -> None:
        """Wait until a port of a bridge forwards. The kernel notices the carrier up to a second later."""
        self.on("timeout", "9", "sh", "-c", f"until grep -qx 3 /sys/class/net/{port}/brport/state; do sleep 0.05; done")


class SpaceSession(LocalSession):
    """A session on such a host."""

    def __init__(self, space: Space, timeout_s: float = 15.0, account: tuple[str, ...] = ()) -> None:
        super().__init__(Target(space.name, connection="local", timeout_s=timeout_s))
        self._enter = ["nsenter", "-t", str(space.pid), "-n", "-m", *account]

    def run(self, command: str, timeout_s: float, *more: Any, **options: Any) -> tuple[int, bytes, bytes]:
        return super().run(shlex.join([*self._enter, "/bin/sh", "-c", command]), timeout_s, *more, **options)


@contextmanager
def space(name: str) -> Iterator[Space]:
    """Provide a host without links. At the end, the host and everything in it is removed."""
    held = "mount -t sysfs sysfs /sys && echo ready && exec sleep 600"
    with subprocess.Popen(["unshare", "-n", "-m", "sh", "-c", held], stdout=subprocess.PIPE) as holder:
        try:
            assert holder.stdout
            assert holder.stdout.readline() == b"ready\n"
            yield Space(name, holder.pid)
        finally:
            holder.kill()


@contextmanager
def two(bridge: str, mtu: int = 1500) -> Iterator[tuple[Space, Space]]:
    """Provide two hosts with a bridge each, and a veth link ``wire0`` between the bridges."""
    with space("one") as one, space("other") as other:
        one.on("ip", "link", "add", "wire0", "type", "veth", "peer", "name", "wire0", "netns", str(other.pid))
        for each in (one, other):
            each.on("ip", "link", "set", "lo", "up")
            each.on("ip", "link", "add", "name", bridge, "mtu", str(mtu), "type", "bridge")
            each.on("ip", "link", "set", "dev", bridge, "mtu", str(mtu))
            each.on("ip", "link", "set", "dev", "wire0", "mtu", str(mtu), "master", bridge, "up")
            each.on("ip", "link", "set", "dev", bridge, "up")
        for each in (one, other):
            each.forwards("wire0")
        yield one, other
