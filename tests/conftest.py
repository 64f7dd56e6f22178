"""What the tests share."""

from __future__ import annotations

import signal
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from xdist.scheduler.loadscope import LoadScopeScheduling


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


class Scheduling(LoadScopeScheduling):
    """Which tests stay together on a worker of pytest-xdist: of the lab each file, and each group of faults; of a smoke test all of them.

    What a test leaves behind on a lab is what the next one finds. (``--dist loadgroup`` of pytest-xdist 3.8 groups nothing with pytest 9.)
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
    """With ``--dist loadscope`` tests are handed out as ``Scheduling`` says."""
    return Scheduling(config, log) if config.option.dist == "loadscope" else None


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
