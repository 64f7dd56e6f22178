"""Which names Incus and the kernel give to resources. A name of a host that is none of them comes from something hostile or broken.

The rules of Incus became stricter over the years, and it keeps names that it once accepted. So a name is refused here only if every
version since 0.1 refuses it; apart from control characters, which no version should have accepted.
Source: Incus, shared/validate/validate.go (IsHostname, IsInterfaceName, IsURLSegmentSafe, IsAPIName), and in cmd/incusd api_project.go
(projectValidateName), profiles.go, storage_pools.go and storage_volumes.go; Linux, net/core/dev.c (dev_valid_name).
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Callable, Mapping
from functools import lru_cache

_NO_CHARACTER = "\ufffd"  # stands for bytes or halves of characters that are no text
_HOSTNAME = re.compile(r"(?!-|[0-9]+\Z)[-A-Za-z0-9]{1,63}(?<!-)")
_LINK = re.compile(r"[^/:\s]+")
_LINK_BYTES = 15
_DEVICE_LENGTH = 64
Rule = Callable[[str], bool]


def _is_api_name(name: str) -> bool:
    return "/" not in name and name not in ("", ".", "..")


def _is_hostname(name: str) -> bool:
    return bool(_HOSTNAME.fullmatch(name))


def _is_project(name: str) -> bool:
    return _is_api_name(name) and not set(name) & set(" _'\"") and name != "*"


def _is_network(name: str) -> bool:
    return _is_api_name(name) and not set(name) & set(":?&+")


def _is_link(name: str) -> bool:
    return _is_api_name(name) and bool(_LINK.fullmatch(name)) and len(name.encode()) <= _LINK_BYTES


# By the kind that a policy examines: the rules of the parts of a resource's name.
_PARTS: Mapping[str, tuple[Rule, ...]] = {
    "acl": (_is_project, _is_hostname),
    "bridge": (_is_link,),
    "image": (_is_project, _is_api_name),
    "instance": (_is_project, _is_hostname),
    "member": (_is_api_name,),
    "network": (_is_network,),
    "pool": (_is_api_name,),
    "profile": (_is_project, _is_api_name),
    "project": (_is_project,),
    "volume": (_is_api_name, _is_project, _is_api_name),
}


def bad_character(text: str) -> str:
    r"""Return the first character that no name may have, as ``U+0000``; empty if there is none.

    These are control characters, also NUL and a line break, and what stands for bytes that are no text.
    """
    if text.isprintable() and _NO_CHARACTER not in text:
        return ""
    found = next((each for each in text if unicodedata.category(each) in ("Cc", "Cs") or each == _NO_CHARACTER), "")
    return f"U+{ord(found):04X}" if found else ""


@lru_cache(maxsize=65536)
def refusal(kind: str, resource: str) -> str:
    """Return why a resource of a kind can't have this name; empty if it can. resource: as in findings, for example ``PROJECT/NAME``."""
    if found := bad_character(resource):
        return f"its name has the character {found}, which no name of a {kind} has"
    rules, parts = _PARTS.get(kind, ()), resource.split("/")
    if rules and (len(rules) != len(parts) or not all(rule(part) for rule, part in zip(rules, parts, strict=True))):
        return f"its name is none that a {kind} can have"
    return ""


def device_refusal(name: str) -> str:
    """Return why an instance can't have a device of this name; empty if it can."""
    if found := bad_character(name):
        return f"the name of a device has the character {found}"
    return "" if 0 < len(name) <= _DEVICE_LENGTH else "the name of a device has no character, or more than 64"
