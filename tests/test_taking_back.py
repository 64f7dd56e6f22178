"""Tests what a plan says of a fix that does not last: a boot, OpenTofu or NixOS takes it back."""

from __future__ import annotations

from dataclasses import dataclass, field

import pytest

from sigsrv.model.lasting import Change, IncusObject
from sigsrv.model.managed import Manager
from sigsrv.model.taking_back import taken_back
from sigsrv.model.touches import Touch

TOFU = "the next `tofu apply`"
NIX = "the next `nixos-rebuild switch` or boot"
SWITCH = "a `nixos-rebuild switch` that sets up the network again"
BOOT = "the next boot of minisrv, unless its configuration says the same"


@dataclass
class Known:
    """What was read. described: descriptions by kind, project, pool and name. nixos: hosts that run it."""

    managers: tuple[Manager, ...] = ()
    described: dict[tuple[str, str, str, str], str] = field(default_factory=dict)
    nixos: tuple[str, ...] = ()

    def object_of(self, change: Change) -> IncusObject | None:
        text = self.described.get((change.kind, change.project, change.pool, change.name))
        return None if text is None else IncusObject(change.kind, change.name, description=text)

    def is_nixos(self, host: str) -> bool:
        return host in self.nixos

    giver = vlan = group = None


def said(*touches: Touch, survives_reboot: bool = True, **known: object) -> tuple[str, ...]:
    return taken_back(touches, Known(**known), "minisrv", survives_reboot)


ACLS = Touch("network", "br0", "security.acls", "a", True)
GROUP = (Touch("file", "/etc/group"), Touch("file", "/etc/gshadow"))
MASTER = Touch("link", "user0", "master", "br0", True)


def test_nothing_known_takes_a_fix_back():
    assert said(ACLS, *GROUP, MASTER) == ()
    assert taken_back([ACLS], None, "minisrv", survives_reboot=True) == ()


def test_boot_takes_back_what_is_stored_nowhere():
    assert said(MASTER, survives_reboot=False) == (BOOT,)
    assert taken_back([MASTER], None, "minisrv", survives_reboot=False) == (BOOT,)


@pytest.mark.parametrize(
    ("touch", "place"),
    [
        (ACLS, ("network", "", "", "br0")),
        (Touch("project", "users", "restricted"), ("project", "", "", "users")),
        (Touch("profile", "users/default", "devices.eth0.parent"), ("profile", "users", "", "default")),
        (Touch("instance", "users/web", "security.nesting"), ("instance", "users", "", "web")),
        (Touch("volume", "hdd/users/data", "size"), ("volume", "users", "hdd", "data")),
        (Touch("pool", "hdd", "rsync.bwlimit"), ("pool", "", "", "hdd")),
    ],
)
@pytest.mark.parametrize(
    ("text", "recognised"),
    [
        ("users (managed by OpenTofu)", True),
        ("Managed by Terraform, do not edit", True),
        ("in the tofu repository", True),
        ("for tofuburger.example", False),
        ("", False),
    ],
)
def test_description_says_that_opentofu_manages_an_object(touch, place, text, recognised):
    found = said(touch, described={place: text})

    assert found == ((f"{TOFU} ({touch.kind} {touch.name})",) if recognised else ())


def test_nixos_writes_groups_again_and_may_set_up_links_again():
    """Both are said of the host that runs it, and of no other one."""
    assert said(*GROUP, nixos=("minisrv",)) == (f"{NIX} (/etc/group of minisrv, /etc/gshadow of minisrv)",)
    assert said(MASTER, nixos=("minisrv",)) == (f"{SWITCH} (user0 of minisrv)",)
    assert said(*GROUP, MASTER, nixos=("sigsrv",)) == ()


@pytest.mark.parametrize(
    ("entry", "touch", "expected"),
    [
        (Manager("opentofu", ("network",)), ACLS, f"{TOFU} (network br0)"),
        (Manager("opentofu", ("network",), name="user*"), ACLS, ""),
        (Manager("opentofu", ("network",), ignores=("security.*",)), ACLS, ""),
        (Manager("opentofu", ("network",), hosts=("minisrv",)), ACLS, ""),
        (
            Manager("ansible", ("instance",), project="users"),
            Touch("instance", "users/web", "limits.memory"),
            "the next run of the playbook (instance users/web)",
        ),
        (Manager("ansible", ("instance",), project="other"), Touch("instance", "users/web", "limits.memory"), ""),
        (Manager("salt", ("group",), again="salt at 04:00"), GROUP[0], "salt at 04:00 (/etc/group of minisrv)"),
        (Manager("nixos", ("sshd",)), Touch("file", "/etc/ssh/sshd_config.d/a.conf"), f"{NIX} (/etc/ssh/sshd_config.d/a.conf of minisrv)"),
        (Manager("nixos", ("link",), hosts=("sigsrv",)), MASTER, ""),
        (Manager("nixos", ("link",), hosts=("minisrv",)), MASTER, f"{NIX} (user0 of minisrv)"),
        (Manager("nixos", ("address",), name="br0"), Touch("link-addresses", "br0"), f"{NIX} (br0 of minisrv)"),
        (Manager("nixos", ("address",), name="br0"), Touch("address", "br0 10.0.0.1/24"), f"{NIX} (br0 10.0.0.1/24 of minisrv)"),
    ],
)  # fmt: skip
def test_site_file_says_who_manages_what(entry, touch, expected):
    assert said(touch, managers=(entry,)) == ((expected,) if expected else ())


def test_site_file_wins_over_a_description():
    """An entry whose tool leaves the key alone says that the change lasts."""
    described = {("network", "", "", "br0"): "managed by OpenTofu"}

    assert said(ACLS, described=described) == (f"{TOFU} (network br0)",)
    assert (
        said(ACLS, described=described, managers=(Manager("opentofu", ("network",), ignores=("security.acls",)),)) == ()
    )
    assert said(ACLS, described=described, managers=(Manager("pulumi", ("network",)),)) == (
        "the next run of pulumi (network br0)",
    )
