"""Runs the command ``sigsrv`` in this process, as a user types it. A separate process would take a second to start."""

from __future__ import annotations

import contextlib
import io
import os
import signal
from pathlib import Path
from subprocess import CompletedProcess
from unittest import mock

from sigsrv.commands import main

ROOT = Path(__file__).resolve().parents[1]


def sigsrv(*argv: str, cwd: Path = ROOT, **environment: str) -> CompletedProcess[str]:
    """Run ``sigsrv ARGV`` in a folder. Afterwards, signal handlers, environment and current folder are as before."""
    out, err = io.StringIO(), io.StringIO()
    kept = {key: value for key, value in os.environ.items() if not key.startswith("SIGSRV")} | environment
    handlers = {number: signal.getsignal(number) for number in (signal.SIGTERM, signal.SIGHUP)}
    try:
        with (
            mock.patch.dict(os.environ, kept, clear=True),
            contextlib.chdir(cwd),
            contextlib.redirect_stdout(out),
            contextlib.redirect_stderr(err),
        ):
            status = main.main(argv)
    except SystemExit as cause:  # argparse exits this way
        status = int(cause.code or 0)
    finally:
        for number, handler in handlers.items():
            signal.signal(number, handler)
    return CompletedProcess(argv, status, out.getvalue(), err.getvalue())
