"""Provides a file system on which every program that writes hangs in the kernel."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import pytest

TOOLS = ("mkfs.ext4", "fsfreeze", "losetup", "unshare", "nsenter")
_HOLD = """\
trap '' TERM INT HUP # thaw in any case
mount -o loop "$1" "$2" && fsfreeze -f "$2" && echo ready
read -r line
fsfreeze -u "$2"
for each in 1 2 3 4 5 6 7 8 9; do umount "$2" 2>/dev/null && exit; sleep 0.2; done
"""


@dataclass(frozen=True)
class Frozen:
    """A frozen file system. enter: the command that runs another one where it is mounted. folder: its path there."""

    enter: tuple[str, ...]
    folder: Path


@contextmanager
def frozen(tmp_path: Path) -> Iterator[Frozen]:
    """Mount a file system in a mount namespace of its own and freeze it (fsfreeze(8)). At the end it is always thawed.

    Skips the test if this machine can't do that.
    """
    if sys.platform != "linux" or os.geteuid() != 0:
        pytest.skip("needs root on Linux")
    if missing := [tool for tool in TOOLS if not shutil.which(tool)]:
        pytest.skip(f"needs {', '.join(missing)}: apt-get install e2fsprogs util-linux mount")
    image, folder = tmp_path / "image", tmp_path / "frozen"
    folder.mkdir()
    with image.open("wb") as file:
        file.truncate(16 * 1024 * 1024)
    subprocess.run(["mkfs.ext4", "-q", "-F", image], check=True)
    with subprocess.Popen(
        ["unshare", "-m", "sh", "-c", _HOLD, "sh", image, folder],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
    ) as holder:
        assert holder.stdin
        assert holder.stdout
        try:
            if holder.stdout.readline() != b"ready\n":
                pytest.skip("this machine can't mount or freeze a file in a loop device")
            yield Frozen(("nsenter", "-t", str(holder.pid), "-m"), folder)
        finally:
            holder.stdin.close()
            holder.wait(10)
