"""Shared by both commands: exit statuses, error messages, signals, and terminal properties."""

from __future__ import annotations

import errno
import os
import shutil
import signal
import sys
import traceback
from collections.abc import Callable
from pathlib import Path

from sigsrv.commands.streams import tolerant_streams
from sigsrv.model.errors import UsageError
from sigsrv.report import phrases

COMPLIANT, FINDINGS, USAGE, UNKNOWN, FAILED = 0, 1, 2, 3, 4
INTERRUPTED = 130
SCAN_STATUS = """\
exit status: 0 compliant, 1 findings, 2 wrong use, 3 some data could not be read
  or written, or nothing was judged (3 wins over 1)"""


def print_usage_error(command: str, error: UsageError) -> int:
    """Print an error and its hint, one line each. Return the exit status for wrong use."""
    print(f"{command}: error: {phrases.visible(error.message)}", file=sys.stderr)
    if error.hint:
        print(f"{command}: hint: {phrases.visible(error.hint)}", file=sys.stderr)
    return USAGE


def run_command(command: str, call: Callable[[], int]) -> int:
    """Run a command and return its exit status. A bug gives 3 and a traceback, never 1, which means findings.

    Standard output may be closed or full. The command runs to its end in any case. If its reader only stopped reading (``| head``), the
    exit status is that of the command; else 0 and 1 become 3, because nobody got the result.
    """
    interrupt_on_signals()
    with tolerant_streams() as lost_output:
        status = _status(command, call)
        if lost := lost_output():
            print(f"{command}: error: standard output: {lost.strerror}; not all of it was written", file=sys.stderr)
            if lost.errno != errno.EPIPE and status in (COMPLIANT, FINDINGS):
                return UNKNOWN
        return status


def _status(command: str, call: Callable[[], int]) -> int:
    try:
        return call()
    except UsageError as cause:
        return print_usage_error(command, cause)
    except SystemExit as cause:  # argparse, after --help or an error that it has printed
        return cause.code if isinstance(cause.code, int) else COMPLIANT if cause.code is None else USAGE
    except KeyboardInterrupt:
        print(f"{command}: interrupted", file=sys.stderr)
        return INTERRUPTED
    except Exception:
        traceback.print_exc()
        print(f"{command}: error: this is a bug in sigsrv; the result is unknown", file=sys.stderr)
        return UNKNOWN


def interrupt_on_signals() -> None:
    """Handle SIGTERM and SIGHUP like Ctrl-C, so sigsrv closes its sessions on the hosts before it exits."""

    def interrupt(number: int, _: object) -> None:
        raise KeyboardInterrupt(number)

    for number in (signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, interrupt)


def relative_path(path: str) -> str:
    """Return a path relative to the working directory if it is below it; else unchanged."""
    return path.removeprefix(f"{Path.cwd()}/")


def width() -> int:
    """Return the number of columns of the terminal, at least 40; without a terminal 80, or what $COLUMNS says."""
    return max(shutil.get_terminal_size().columns, 40)


def color() -> bool:
    """Return whether to use colors: on a terminal, unless $NO_COLOR is set (https://no-color.org)."""
    return sys.stdout.isatty() and "NO_COLOR" not in os.environ
