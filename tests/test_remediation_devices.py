"""Tests the script that removes devices of an instance, with an Incus that is a folder of files."""

from __future__ import annotations

import pytest

from tests.test_remediation_instances import DEVICE, DISK, devices, host

__all__ = ["host"]


@pytest.mark.parametrize(
    ("own", "given", "left"), [(True, False, {}), (False, True, {"d": "type=none"}), (True, True, {"d": "type=none"})]
)
def test_device_is_removed_wherever_it_is_defined(host, own, given, left):
    """A device from a profile is masked, also if a local device of the instance hid it."""
    device = {**DEVICE, "own": own, "given": given}
    values = {"instance": "web", "project": "p", "devices": [device]}
    if own:
        (host.folder / "devices" / "d").write_text(DISK)

    before = devices(host)
    for _ in range(2):
        assert host.run("detach-devices", "apply", values)[0] == 0
        assert devices(host) == left
    for _ in range(2):
        assert host.run("detach-devices", "undo", values)[0] == 0
        assert devices(host) == before


def test_device_that_differs_from_the_plan_is_not_removed(host):
    """The undo would give it other properties than it had."""
    (host.folder / "devices" / "d").write_text("type=disk\nsource=/var\npath=/mnt\n")

    code, output = host.run("detach-devices", "apply", {"instance": "web", "project": "p", "devices": [DEVICE]})

    assert (code, host.changes) == (1, [])
    assert "refused: p/web: source of device d is /var now, not /etc: run the command again" in output


@pytest.mark.parametrize(("given", "now"), [(False, "type=disk\nsource=/var\n"), (True, ""), (True, "type=proxy\n")])
def test_device_that_somebody_changed_since_stays(host, given, now):
    """They removed the mask, or made another device of the name."""
    values = {"instance": "web", "project": "p", "devices": [{**DEVICE, "given": given}]}
    (host.folder / "devices" / "d").write_text(DISK)
    assert host.run("detach-devices", "apply", values)[0] == 0
    (host.folder / "devices" / "d").write_text(now)
    if not now:
        (host.folder / "devices" / "d").unlink()
    before = devices(host)

    code, output = host.run("detach-devices", "undo", values)

    assert (code, devices(host)) == (0, before)
    assert "kept: p/web: device d is " in output
    assert host.run("detach-devices", "undo", values, SIGSRV_FORCE="yes")[0] == 0
    assert devices(host) == {"d": DISK.strip()}


def test_device_that_incus_refuses_is_left(host):
    """The folder of the host is gone: each further try would fail too."""
    (host.folder / "devices" / "d").write_text(DISK)
    values = {"instance": "web", "project": "p", "devices": [DEVICE]}
    assert host.run("detach-devices", "apply", values)[0] == 0
    (host.folder / "refuses").write_text('Error: Missing source path "/etc" for disk "d"')

    code, output = host.run("detach-devices", "undo", values)

    assert (code, "kept: Incus refuses the old value: Error: Missing source path" in output) == (0, True)
