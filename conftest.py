"""Loads sigsrv's pytest plugin in a checkout, for ``pytest checks``. Other pytest runs do not load it."""

from __future__ import annotations

import importlib.util

import pytest

_INSTALLED = importlib.util.find_spec("sigsrv") is not None

pytest_plugins = ["sigsrv.pytest_plugin.plugin"] if _INSTALLED else []


def pytest_configure() -> None:
    """Stop with a clear message if sigsrv is not installed, instead of an unknown fixture."""
    if not _INSTALLED:
        raise pytest.UsageError(
            "sigsrv is not installed in this environment\nhint: run make setup, then .venv/bin/pytest checks"
        )
