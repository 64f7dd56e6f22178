"""What both commands share: the exit statuses, how a mistake is told, and what ends a command."""

from __future__ import annotations

import os
import shutil
import signal
import sys
import traceback
from collections.abc import Callable
from pathlib import Path

from sigsrv.model.errors import UsageError
from sigsrv.report import phrases

COMPLIANT, FINDINGS, USAGE, UNKNOWN, FAILED = 0, 1, 2, 3, 4
INTERRUPTED = 130
SCAN_STATUS = """\
exit status: 0 compliant, 1 findings, 2 wrong use, 3 something could not be
  read, or nothing was judged (wins over 1)"""


def complain(command: str, error: UsageError) -> int:
    """Tell a user's mistake in one line and a hint; the exit status for it."""
    print(f"{command}: error: {phrases.visible(error.message)}", file=sys.stderr)
    if error.hint:
        print(f"{command}: hint: {phrases.visible(error.hint)}", file=sys.stderr)
    return USAGE


def run_command(command: str, call: Callable[[], int]) -> int:
    """Run a command to its exit status. A bug of ours is unknown (3) with its traceback, never 1, which means findings."""
    end_on_signals()
    try:
        status = call()
        sys.stdout.flush()
    except UsageError as cause:
        return complain(command, cause)
    except KeyboardInterrupt:
        print(f"{command}: interrupted", file=sys.stderr)
        return INTERRUPTED
    except BrokenPipeError:  # who read us has gone: nobody is left to tell
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return UNKNOWN
    except Exception:
        traceback.print_exc()
        print(f"{command}: error: this is a bug of sigsrv; nothing is known of what it was to say", file=sys.stderr)
        return UNKNOWN
    return status


def end_on_signals() -> None:
    """Let SIGTERM and SIGHUP end us as Ctrl-C does: what is open on the hosts is closed on the way out."""

    def interrupt(number: int, _: object) -> None:
        raise KeyboardInterrupt(number)

    for number in (signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, interrupt)


def near(path: str) -> str:
    """A path as it is from here, where it lies below."""
    return path.removeprefix(f"{Path.cwd()}/")


def width() -> int:
    """The columns of the terminal, 40 at least."""
    return max(shutil.get_terminal_size().columns, 40)


def color() -> bool:
    """Whether standard output takes colors: a terminal, unless $NO_COLOR is set (https://no-color.org)."""
    return sys.stdout.isatty() and "NO_COLOR" not in os.environ
