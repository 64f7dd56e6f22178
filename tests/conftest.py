"""What the tests share."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

RECORDED = Path(__file__).parent / "evidence"


@pytest.fixture
def recorded() -> Callable[[str], str]:
    """The text of a recorded output, by its path below tests/evidence."""
    return lambda name: (RECORDED / name).read_text(encoding="utf-8")
