"""Tests which configuration the restrictions of a project forbid, by the rules of Incus."""

from __future__ import annotations

import pytest

from sigsrv.facts.restrictions import forbidden_device, forbidden_keys, ranges
from sigsrv.model.errors import EvidenceError

PROJECT = {"restricted": "true", "restricted.networks.access": "userbr0"}


def found(kind="container", config=None, device=None, **restrictions):
    project = PROJECT | {f"restricted.{key.replace('__', '.').replace('_', '-')}": v for key, v in restrictions.items()}
    return (*forbidden_keys(project, kind, config or {}), *forbidden_device(project, device or {}))


@pytest.mark.parametrize(
    ("kind", "key", "value"),
    [
        ("container", "raw.lxc", "lxc.mount.entry=/ mnt none bind"),
        ("container", "linux.kernel_modules", "zfs"),
        ("container", "boot.host_shutdown_timeout", "5"),
        ("container", "limits.memory.swap", "false"),
        ("container", "security.guestapi.images", "false"),
        ("container", "security.bpffs.path", "/sys/fs/bpf"),
        ("container", "security.syscalls.intercept.mount.allowed", "ext4"),
        ("container", "security.syscalls.intercept.sched_setscheduler", "false"),
        ("container", "security.syscalls.intercept.mount.fuse", "ext4=fuse2fs"),
        ("container", "security.privileged", "yes"),
        ("container", "security.nesting", "1"),
        ("virtual-machine", "raw.qemu.conf", "x"),
        ("virtual-machine", "limits.memory.hugepages", "true"),
        ("virtual-machine", "raw.idmap", "both 0 0"),
        ("profile", "raw.lxc", "x"),
        ("profile", "raw.qemu", "x"),
        ("profile", "security.nesting", "true"),
    ],
)
def test_a_key_is_forbidden_unless_its_restriction_allows_it(kind, key, value):
    """Each key has its own restriction. For a profile, the restrictions of both instance types must allow the key."""
    assert len(found(kind, {key: value})) == 1
    assert (
        found(
            kind,
            {key: value},
            containers__lowlevel="allow",
            virtual_machines__lowlevel="allow",
            containers__nesting="allow",
            containers__privilege="allow",
            containers__interception="allow",
        )
        == ()
    )


@pytest.mark.parametrize(
    ("kind", "key", "value"),
    [
        ("container", "security.syscalls.allow", "x"),
        ("container", "security.syscalls.intercept.mknod", "off"),
        ("container", "security.privileged", "false"),
        ("container", "raw.qemu", "x"),
        ("container", "limits.memory.hugepages", "true"),
        ("virtual-machine", "raw.lxc", "x"),
        ("virtual-machine", "security.nesting", "true"),
        ("virtual-machine", "security.syscalls.intercept.mknod", "true"),
        ("profile", "security.idmap.isolated", "true"),
    ],
)
def test_a_key_without_a_restriction_is_allowed(kind, key, value):
    """Covers keys of the other instance type, keys that are false, and keys that Incus does not restrict."""
    assert found(kind, {key: value}, containers__privilege="isolated" if kind == "profile" else "unprivileged") == ()


def test_only_containers_need_an_isolated_id_map():
    """In a container, an unset key means not isolated. A profile may leave the key unset, because another profile can set it."""
    assert found(containers__privilege="isolated") == ("security.idmap.isolated is not true",)
    assert found(config={"security.idmap.isolated": "1"}, containers__privilege="isolated") == ()
    assert found("profile", containers__privilege="isolated") == ()
    assert len(found("profile", {"security.idmap.isolated": "false"}, containers__privilege="isolated")) == 1
    assert found("virtual-machine", containers__privilege="isolated") == ()


def test_nesting_of_virtual_machines_is_on_by_default():
    """If the project blocks nesting, an unset key is forbidden too."""
    assert found("virtual-machine", virtual_machines__nesting="block") == ("security.nesting is not false",)
    assert found("virtual-machine", {"security.nesting": "no"}, virtual_machines__nesting="block") == ()


@pytest.mark.parametrize(
    ("value", "allowed"),
    [
        ("", True),
        ("uid 1000 0", True),
        ("both 1000-1001 0-1\ngid 2005 5", True),
        ("uid 1999-2000 0-1", False),
        ("both 0 0", False),
        ("gid 1000 0", True),
        ("uid 2005 0", False),
        ("user 1000 0", False),
        ("uid 1000", False),
    ],
)
def test_a_raw_id_map_must_stay_within_the_ids_of_the_project(value, allowed):
    """Each line must fit into one range. A malformed line is forbidden."""
    restrictions = {"idmap__uid": "1000-1999", "idmap__gid": "1000-1999,2000-2999"}

    assert (found(config={"raw.idmap": value}, **restrictions) == ()) is allowed
    assert found(config={"raw.idmap": value}, containers__lowlevel="allow") == ()


@pytest.mark.parametrize(
    "kind", ["gpu", "infiniband", "pci", "proxy", "unix-block", "unix-char", "unix-hotplug", "usb"]
)
def test_a_host_device_is_forbidden_unless_its_restriction_allows_it(kind):
    """Each type of device has its own restriction."""
    assert found(device={"type": kind}) == (f"a device of type {kind}",)
    assert found(device={"type": kind}, **{f"devices__{kind.replace('-', '_')}": "allow"}) == ()
    assert found(device={"type": "none"}) == found(device={"type": "tpm"}) == ()


@pytest.mark.parametrize(
    ("device", "restrictions", "allowed"),
    [
        ({"network": "userbr0"}, {}, True),
        ({"network": "sigsrvbr0"}, {}, False),
        ({"network": "sigsrvbr0"}, {"networks__access": ""}, True),
        ({"network": "userbr0"}, {"devices__nic": "block"}, False),
        ({"parent": "userbr0"}, {}, False),
        ({"parent": "userbr0"}, {"devices__nic": "allow"}, True),
        ({"parent": "eth0"}, {"devices__nic": "allow"}, False),
        ({"parent": "eth0"}, {"devices__nic": "allow", "networks__access": ""}, True),
    ],
)
def test_a_nic_must_use_a_network_that_the_project_may_use(device, restrictions, allowed):
    """If the project allows parent links, the list of networks applies to them too."""
    assert (found(device={"type": "nic", **device}, **restrictions) == ()) is allowed


def test_a_project_may_use_its_own_networks_without_listing_them():
    """With features.networks, a managed network belongs to the project."""
    project = PROJECT | {"features.networks": "true"}

    assert not list(forbidden_device(project, {"type": "nic", "network": "own"}))


@pytest.mark.parametrize(
    ("device", "restrictions", "allowed"),
    [
        ({"pool": "nvme", "path": "/"}, {"devices__disk": "block"}, True),
        ({"pool": "nvme", "path": "/"}, {"storage_pools__access": "hdd"}, False),
        ({"pool": "nvme", "source": "v", "path": "/srv"}, {}, True),
        ({"pool": "nvme", "source": "v", "path": "/srv"}, {"devices__disk": "block"}, False),
        ({"pool": "nvme", "source": "v", "path": "/srv"}, {"storage_pools__access": "hdd, nvme"}, True),
        ({"source": "cloud-init:config"}, {"devices__disk": "block"}, True),
        ({"source": "agent:config", "path": "/x"}, {}, False),
        ({"source": "/etc", "path": "/mnt"}, {}, False),
        ({"source": "/etc", "path": "/mnt"}, {"devices__disk": "allow"}, True),
        (
            {"source": "/srv/a/../../etc", "path": "/m"},
            {"devices__disk": "allow", "devices__disk__paths": "/srv"},
            False,
        ),
        ({"source": "/srv/a", "path": "/m"}, {"devices__disk": "allow", "devices__disk__paths": "/home,/srv/"}, True),
        ({"source": "/srv2", "path": "/m"}, {"devices__disk": "allow", "devices__disk__paths": "/srv"}, False),
        ({"source": "/srv", "path": "/m"}, {"devices__disk": "allow", "devices__disk__paths": "/srv"}, True),
        ({"source": "/etc", "path": "/m"}, {"devices__disk": "allow", "devices__disk__paths": "/"}, False),
        ({"source": "//etc", "path": "/m"}, {"devices__disk": "allow", "devices__disk__paths": "//"}, False),
        ({"source": "/", "path": "/m"}, {"devices__disk": "allow", "devices__disk__paths": "/"}, True),
    ],
)
def test_a_disk_must_use_a_pool_or_a_path_that_the_project_may_use(device, restrictions, allowed):
    """The root disk is always allowed in an allowed pool, and so is the drive cloud-init:config. Incus finds no path below /."""
    assert (found(device={"type": "disk", **device}, **restrictions) == ()) is allowed


def test_an_unknown_instance_type_boolean_or_range_is_an_error():
    """No value is guessed."""
    with pytest.raises(EvidenceError):
        found("pod")
    with pytest.raises(EvidenceError):
        found(config={"security.nesting": "perhaps"})
    with pytest.raises(EvidenceError):
        found(config={"raw.idmap": "uid 1 1"}, idmap__uid="all")
    assert ranges(" 5, 7-9 ") == ((5, 5), (7, 9))
