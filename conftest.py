"""Brings sigsrv's plugin to ``pytest checks`` in a checkout, and to no other pytest run of this environment."""

from __future__ import annotations

import importlib.util

import pytest

_INSTALLED = importlib.util.find_spec("sigsrv") is not None

pytest_plugins = ["sigsrv.pytest_plugin.plugin"] if _INSTALLED else []


def pytest_configure() -> None:
    """Say what is missing where sigsrv is not installed, instead of a fixture that nobody knows."""
    if not _INSTALLED:
        raise pytest.UsageError(
            "sigsrv is not installed in this environment\nhint: make setup, then .venv/bin/pytest checks"
        )
