"""Brings sigsrv's plugin to ``pytest checks`` in a checkout, and to no other pytest run of this environment."""

from __future__ import annotations

import importlib.util

import pytest

if importlib.util.find_spec("sigsrv") is None:
    raise pytest.UsageError(
        "sigsrv is not installed in this environment\nhint: make setup, then .venv/bin/pytest checks"
    )

pytest_plugins = ["sigsrv.pytest_plugin.plugin"]
