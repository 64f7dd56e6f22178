"""What the tests share."""

from __future__ import annotations

from collections.abc import Callable
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
