"""What the tests share."""

from __future__ import annotations

import signal
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest


def pytest_addoption(parser: pytest.Parser) -> None:
    """Which lab tests/e2e is run on."""
    parser.addoption(
        "--lab",
        choices=["ns", "vm"],
        default="ns",
        help="the lab that tests/e2e is run on: namespaces (default) or virtual machines",
    )
    parser.addoption(
        "--every-fault",
        action="store_true",
        help="with --lab=vm: try each fault alone, and undo each remediation (a day); else several at a time",
    )


RECORDED = Path(__file__).parent / "evidence"


@pytest.fixture
def recorded() -> Callable[[str], str]:
    """The text of a recorded output, by its path below tests/evidence."""
    return lambda name: (RECORDED / name).read_text(encoding="utf-8")


@pytest.fixture(autouse=True)
def own_state(tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch) -> None:
    """A state directory for each test: none reads or writes the journal of whoever runs it, or counts what another put right."""
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path_factory.mktemp("state")))


@pytest.fixture
def interruptible() -> Iterator[None]:
    """Programs that the test starts get Ctrl-C, also where the shell of `make test` ignores it (in the background, under nohup)."""
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    yield
    signal.signal(signal.SIGINT, before)
