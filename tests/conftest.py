"""Provides options, fixtures and the distribution to workers for all tests."""

from __future__ import annotations

import signal
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from xdist.scheduler.loadscope import LoadScopeScheduling


def pytest_addoption(parser: pytest.Parser) -> None:
    """Add the options that choose the lab of tests/e2e and how it runs the faults."""
    parser.addoption(
        "--lab",
        choices=["ns", "vm"],
        default="ns",
        help="the lab for tests/e2e: namespaces (default) or virtual machines",
    )
    parser.addoption(
        "--lab-hosts", type=int, choices=[1, 2, 3], default=2, help="how many hosts --lab=ns has (default: 2)"
    )
    parser.addoption("--lab-incus", choices=["6.0", "7.0"], default="6.0", help="Incus of the lab (default: 6.0)")
    parser.addoption(
        "--every-fault",
        action="store_true",
        help="with --lab=vm: run each fault alone, and undo each fix (takes a day); default: several faults at a time",
    )
    parser.addoption(
        "--every-knockout",
        action="store_true",
        help="damage every part of the saved evidence (takes minutes); default: until each pass has fallen",
    )


class Scheduling(LoadScopeScheduling):
    """Decides which tests pytest-xdist runs on the same worker.

    Tests of a lab find the lab in the state that the test before left. In tests/e2e, each file stays together; a file with groups of
    faults is split by group. All smoke tests stay together. (``--dist loadgroup`` of pytest-xdist 3.8 groups nothing with pytest 9.)
    """

    def _split_scope(self, nodeid: str) -> str:
        file, _, name = nodeid.partition("::")
        if not file.startswith("tests/e2e/"):
            return nodeid
        if "smoke" in self.config.option.markexpr:
            return "lab"
        return f"{file}{name[name.find('[') :]}" if file.endswith("_together.py") else file


@pytest.hookimpl(optionalhook=True)
def pytest_xdist_make_scheduler(config: pytest.Config, log: Any) -> LoadScopeScheduling | None:
    """Use ``Scheduling`` if pytest runs with ``--dist loadscope``."""
    return Scheduling(config, log) if config.option.dist == "loadscope" else None


RECORDED = Path(__file__).parent / "evidence"


@pytest.fixture
def recorded() -> Callable[[str], str]:
    """Return a function that reads a recorded output. Its argument is the path below tests/evidence."""
    return lambda name: (RECORDED / name).read_text(encoding="utf-8")


@pytest.fixture(autouse=True)
def own_state(tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch) -> None:
    """Give each test its own state directory, so it does not use the user's journal or the fixes of another test."""
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path_factory.mktemp("state")))


@pytest.fixture
def interruptible() -> Iterator[None]:
    """Make Ctrl-C reach programs that the test starts.

    The shell of ``make test`` may ignore it: in the background, or with nohup.
    """
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    yield
    signal.signal(signal.SIGINT, before)
