"""What takes a fix back later: a boot, or the tool that manages what the fix changes.

The site file says who manages what (``managed_by``). Without an entry, sigsrv recognises OpenTofu by the description of an object, and
NixOS by the id of the operating system (os-release(5)).
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Sequence

from sigsrv.model.lasting import Change, Known
from sigsrv.model.managed import Manager, manager_of
from sigsrv.model.touches import Touch

_TOFU = re.compile(r"\b(opentofu|tofu|terraform)\b", re.IGNORECASE)
_TOFU_KINDS = frozenset({"network", "project", "profile", "instance", "volume", "pool"})
# NixOS writes the accounts again at each activation: nixos/modules/config/update-users-groups.pl of nixpkgs.
_GROUPS = frozenset({"/etc/group", "/etc/gshadow"})
_SSHD = "/etc/ssh/"
_LINKS = frozenset({"link", "link-addresses", "link-routes", "port", "port-vlan"})
_HOST_KINDS = {
    "link-addresses": "address",
    "link-routes": "route",
    "port": "link",
    "port-vlan": "link",
    "rule": "route",
}


def taken_back(touches: Iterable[Touch], known: Known | None, host: str, survives_reboot: bool) -> tuple[str, ...]:
    """Return what takes a fix back, as ``the next `tofu apply` (network br0)``; empty if nothing does that sigsrv knows of.

    host: where the fix runs. survives_reboot: whether a boot leaves the change as it is.
    """
    found: dict[str, list[str]] = {}
    if not survives_reboot:
        found[f"the next boot of {host}, unless its configuration says the same"] = []
    if known is not None:
        for touch in touches:
            if reason := _manager(touch, known, host):
                what = _named(touch, host)
                found.setdefault(reason, [])
                found[reason] += [] if what in found[reason] else [what]
    return tuple(f"{reason} ({', '.join(what)})" if what else reason for reason, what in found.items())


def _manager(touch: Touch, known: Known, host: str) -> str:
    """Return what takes a change of one thing back; "" for nothing."""
    _, project, name = touch.place
    for kind, named in _as_managed(touch, name):
        where = "" if touch.is_object else host
        entries: Sequence[Manager] = known.managers
        if entry := manager_of(entries, kind, named, project, where, touch.key):
            return entry.takes_back
        if any(each.manages(kind, named, project, where) for each in entries):
            return ""  # its tool leaves this key alone
    if touch.kind in _TOFU_KINDS and _is_described(touch, known):
        return "the next `tofu apply`"
    if touch.kind == "file" and touch.name in _GROUPS and known.is_nixos(host):
        return "the next `nixos-rebuild switch` or boot"
    if touch.kind in _LINKS and known.is_nixos(host):
        return "a `nixos-rebuild switch` that sets up the network again"
    return ""


def _as_managed(touch: Touch, name: str) -> Iterator[tuple[str, str]]:
    """Yield the kinds and names under which the site file may name a thing."""
    if touch.kind == "file" and touch.name in _GROUPS:
        yield "group", "*"
    if touch.kind == "file" and touch.name.startswith(_SSHD):
        yield "sshd", name
    yield (
        _HOST_KINDS.get(touch.kind, touch.kind),
        name.partition(" ")[0] if touch.kind in ("address", "port-vlan") else name,
    )


def _is_described(touch: Touch, known: Known) -> bool:
    """Return whether the description of an object says that OpenTofu or Terraform manages it."""
    pool, project, name = touch.place
    found = known.object_of(Change(touch.kind, name, project, pool))
    return found is not None and says_tofu(found.description)


def says_tofu(description: str) -> bool:
    """Return whether a description says that OpenTofu or Terraform manages its object."""
    return _TOFU.search(description) is not None


def _named(touch: Touch, host: str) -> str:
    return f"{touch.kind} {touch.name}" if touch.is_object else f"{touch.name} of {host}"
