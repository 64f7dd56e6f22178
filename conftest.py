"""Makes ``pytest checks`` work in a checkout: the plugin is sigsrv's own, and installed with it (entry point ``pytest11``)."""

from __future__ import annotations

import importlib.util

import pytest


def pytest_configure(config: pytest.Config) -> None:
    """Say what is missing where sigsrv is not installed, instead of a fixture that nobody knows."""
    if importlib.util.find_spec("sigsrv") is None or not config.pluginmanager.has_plugin("sigsrv"):
        raise pytest.UsageError(
            "sigsrv is not installed in this environment\nhint: make setup, then .venv/bin/pytest checks"
        )
