"""Tests the checks of IMG: the finding names the place where updates are disabled."""

from __future__ import annotations

import pytest

from sigsrv.authoring import document
from sigsrv.judge.checks import load_checks
from sigsrv.model import data, policy

POLICIES = [policy.load()["IMG-001"]]
CHECKS = load_checks(data.folder("checks"))


@pytest.mark.parametrize(
    ("server", "project", "place"),
    [
        ("0", "", "on the server (images.auto_update_interval is 0)"),
        ("6", "0", "in the project default (images.auto_update_interval is 0)"),
        ("0", "-1", "in the project default (images.auto_update_interval is -1)"),
    ],
)
def test_place_where_updates_are_disabled_is_named(server, project, place):
    """The value of the project overrides the value of the server. The finding names the one to fix."""
    content = document.document()
    content["cluster"]["server"]["config"]["images.auto_update_interval"] = server
    content["cluster"]["projects"]["default"]["config"]["images.auto_update_interval"] = project

    found = document.findings(content, POLICIES, CHECKS)["IMG-001@cluster/default/1f00a1f00b1f"]

    assert found.verdict == "fail"
    assert found.observed.endswith(f"updates are off {place}")
