"""Reads the text files that a user names: site, waivers, policies, saved evidence.

Such a file may be anything: a pipe without a writer, a device, another encoding, gigabytes. Each of these is an error with its place.
"""

from __future__ import annotations

import json
import os
import stat
from pathlib import Path
from typing import Any

from sigsrv.model.errors import UsageError

LIMIT_BYTES = 4 * 2**20  # a site file with 10,000 projects has a quarter of this


def read(path: Path, limit_bytes: int = LIMIT_BYTES) -> str:
    """Return the text of a regular file, without a byte order mark.

    Raises UsageError with the file, and with the line if a line is wrong: no such file, not a regular file, too large, not UTF-8.
    """
    try:
        # Without O_NONBLOCK, opening a pipe waits for its writer.
        with os.fdopen(os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC), "rb") as file:
            found = os.fstat(file.fileno())
            if not stat.S_ISREG(found.st_mode):
                raise UsageError(f"{path}: not a regular file", "sigsrv reads no folder, pipe or device here")
            content = file.read(limit_bytes + 1) if found.st_size <= limit_bytes else None
    except (OSError, ValueError) as cause:  # ValueError: a path with NUL
        reason = cause.strerror if isinstance(cause, OSError) else str(cause)
        raise UsageError(f"{path}: {reason}") from cause
    if content is None or len(content) > limit_bytes:  # the size of a file in /proc is 0
        raise UsageError(f"{path}: larger than {limit_bytes // 2**20} MiB, the most that sigsrv reads here")
    try:
        return content.decode("utf-8-sig")
    except UnicodeDecodeError as cause:
        line = content.count(b"\n", 0, cause.start) + 1
        raise UsageError(f"{path}:{line}: not UTF-8", "save the file with the encoding UTF-8") from cause


def read_json(path: Path, limit_bytes: int) -> Any:
    """Return the content of a JSON file. Raises UsageError as ``read``, and for text that is not JSON."""
    return parse_json(read(path, limit_bytes), path)


def parse_json(text: str, path: Path) -> Any:
    """Return the content of JSON text. path: the file that errors name. Raises UsageError."""
    try:
        return json.loads(text)
    except json.JSONDecodeError as cause:
        raise UsageError(f"{path}:{cause.lineno}: not JSON: {cause.msg}") from cause
    except RecursionError as cause:
        raise UsageError(f"{path}: not JSON: nested too deeply") from cause
    except ValueError as cause:  # an integer with more than 4300 digits
        raise UsageError(f"{path}: not JSON: a number has too many digits") from cause
