"""Tests the values that a plan shows beside its changes."""

from __future__ import annotations

import dataclasses

from sigsrv.model.touches import Touch
from sigsrv.remediate.picture import Picture
from sigsrv.remediate.planning import Step
from sigsrv.remediate.present import with_values
from tests.test_remediate_journal import FAILING, FIX

TOUCHES = (
    Touch("network", "br0", "security.acls", "a", True),
    Touch("network", "br0", "ipv4.nat"),
    Touch("network", "br0", "user.secret"),
    Touch("network", "br1", "mtu"),
    Touch("guest", "default/web"),
)


def test_step_gets_the_values_of_its_own_host():
    """A key that is not set is "". What was not read has no value, and a secret one is replaced."""
    step = Step(FAILING, dataclasses.replace(FIX, touches=TOUCHES))
    pictures = {
        "minisrv": Picture({("network", "br0"): {"security.acls": "b", "user.secret": "hunter2"}}),
        "sigsrv": Picture({("network", "br0"): {"security.acls": "other"}}),
    }

    (found,) = with_values([step], lambda touches: pictures if touches == list(TOUCHES) else {})

    assert {key: value for key, value in found.now.items() if key[2] != "user.secret"} == {
        ("network", "br0", "security.acls"): "b",
        ("network", "br0", "ipv4.nat"): "",
    }
    assert found.now["network", "br0", "user.secret"] not in ("", "hunter2")


def test_hosts_are_not_asked_if_no_change_is_declared():
    """Nothing would be shown."""
    step = Step(FAILING, dataclasses.replace(FIX, touches=()))

    assert with_values([step], lambda _: 1 / 0) == (step,)
