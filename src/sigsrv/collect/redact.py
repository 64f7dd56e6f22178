"""Removes secrets from answers before they are stored as evidence."""

from __future__ import annotations

import re
from functools import lru_cache
from typing import Any

from sigsrv.model import incus_keys

REDACTED = "(redacted)"
_USERINFO = re.compile(r"(://[^/?#\s@:]*):[^/?#\s]*@")  # the password in a URL, for example of a proxy or a log server
# Keys that hold a secret, by their names. All that ends in ``key`` is one: the keys of the newest Incus end so too.
_SECRET = re.compile(
    r"^(user|cloud-init|environment|smbios11|oci|linstor)\.|^initial\.nvram|^storage\.linstor\."
    r"|\.environment$|password|passphrase|secret|token|credential|hmac|[._-]key$|(client|api|private|access)key$",
    re.IGNORECASE,
)
_PUBLIC = re.compile(r"[._-]public[._-]key$", re.IGNORECASE)
_ZONE_PEER = re.compile(r"peers\.[^.]+\.address")  # the server that may transfer a DNS zone
_LIFETIMES = frozenset({"core.remote_token_expiry", "cluster.join_token_expiry"})
_CONFIGS = frozenset({"config", "expanded_config"})  # fields of a resource that hold configuration keys, by name
_DEVICES = frozenset({"devices", "expanded_devices"})  # by the name of the device, then by key
# The types of keys whose values are no secret. The value of a key that no known version of Incus has is kept only if it looks like these.
_PLAIN_TYPES = frozenset({"bool", "int", "int64", "integer"})
_KEPT = 10_000  # answers about keys that are kept: a site has fewer
_PLAIN = re.compile(r"(true|false|yes|no|on|off|[0-9]{1,6})?", re.IGNORECASE)
# The fields of an operation that a scan needs to find tokens. Other fields contain secrets of connections, and a command with its
# environment.
_OPERATION_FIELDS = ("id", "class", "status", "created_at", "location", "resources", "metadata")


@lru_cache(_KEPT)
def _is_secret(key: str) -> bool:
    """Return whether the value of a key is secret. That of a key that holds a number or a boolean is not, whatever its name is."""
    if not _SECRET.search(key) or _PUBLIC.search(key) or key in _LIFETIMES:
        return False
    types = incus_keys.types(key)
    return not types or not types <= _PLAIN_TYPES


@lru_cache(_KEPT)
def _is_unknown(key: str) -> bool:
    """Return whether no known version of Incus has a configuration key. The lists of keys lack those of zones with a name in them."""
    return not (incus_keys.known_anywhere(key) or _ZONE_PEER.fullmatch(key))


def _is_text_or_container(value: Any) -> bool:
    """Return whether a value can hold a secret: a boolean can't, also as Incus writes it in a configuration."""
    return not (value is None or isinstance(value, bool | int | float) or value in ("true", "false"))


def redact_operations(value: Any) -> Any:
    """Return the answer of ``/1.0/operations`` with only the fields that a scan reads. value: state -> list of operations."""
    if not isinstance(value, dict):
        return None
    return {
        state: [_operation(row) for row in rows if isinstance(row, dict)] if isinstance(rows, list) else None
        for state, rows in value.items()
    }


def _operation(row: dict[str, Any]) -> dict[str, Any]:
    kept: dict[str, Any] = {key: redact(row[key]) for key in _OPERATION_FIELDS if key in row}
    metadata = kept.get("metadata")
    if isinstance(metadata, dict):
        request = metadata.get("request")
        kept["metadata"] = {"serverName": metadata["serverName"]} if "serverName" in metadata else {}
        if isinstance(request, dict) and "name" in request:
            kept["metadata"]["request"] = {"name": request["name"]}
    return kept


def redact(value: Any) -> Any:
    """Return a JSON value with the values of secret keys replaced.

    Secret keys: ``user.*``, ``cloud-init.*``, ``smbios11.*``, ``oci.*``, ``initial.nvram*``, ``linstor.*``, environments, passwords,
    tokens, and all that ends in ``key``. A configuration key that no known version of Incus has is secret too, unless its value is a
    boolean or a short number: the next version may keep anything there. In a URL, only the password is replaced. Numbers, booleans and
    null are kept: whether something is set is no secret.
    """
    if isinstance(value, dict):
        return {k: _redacted(k, v) for k, v in value.items()}
    if isinstance(value, list):
        return [redact(item) for item in value]
    if isinstance(value, str) and "://" in value:
        return _USERINFO.sub(rf"\1:{REDACTED}@", value)
    return value


def _redacted(key: str, value: Any) -> Any:
    """Return the value of a key as ``redact`` does."""
    if _is_secret(key) and _is_text_or_container(value):
        return REDACTED
    if isinstance(value, dict) and key in _CONFIGS:
        return _config(value)
    if isinstance(value, dict) and key in _DEVICES:
        return {name: _config(device) if isinstance(device, dict) else redact(device) for name, device in value.items()}
    return redact(value)


def _config(config: dict[str, Any]) -> dict[str, Any]:
    """Return a configuration without secrets."""
    return {
        key: REDACTED
        if isinstance(value, str) and _is_unknown(key) and not _PLAIN.fullmatch(value)
        else _redacted(key, value)
        for key, value in config.items()
    }
