"""Removes secrets from answers before they are stored as evidence."""

from __future__ import annotations

import re
from typing import Any

REDACTED = "(redacted)"
_USERINFO = re.compile(r"(://[^/?#\s@:]*):[^/?#\s]*@")  # the password in a URL, for example of a proxy or a log server
_SECRET = re.compile(
    r"^(user|cloud-init|environment)\.|\.environment$|password|secret|token|credential|hmac|(^|[._])(client|api|private|access)_?key$",
    re.IGNORECASE,
)
# The fields of an operation that a scan needs to find tokens. Other fields contain secrets of connections, and a command with its
# environment.
_OPERATION_FIELDS = ("id", "class", "status", "created_at", "location", "resources", "metadata")


def _is_secret(key: str) -> bool:
    """Return whether the value of a key is secret. The lifetime of a token (``core.remote_token_expiry``) is not."""
    return bool(_SECRET.search(key)) and not key.endswith("token_expiry")


def _is_text_or_container(value: Any) -> bool:
    return not (value is None or isinstance(value, bool | int | float))


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

    Secret keys: user.*, cloud-init.*, environments, passwords, tokens, private keys. In a URL, only the password is replaced.
    Numbers, booleans and null are kept: whether something is set is no secret.
    """
    if isinstance(value, dict):
        return {k: REDACTED if _is_secret(k) and _is_text_or_container(v) else redact(v) for k, v in value.items()}
    if isinstance(value, list):
        return [redact(item) for item in value]
    if isinstance(value, str) and "://" in value:
        return _USERINFO.sub(rf"\1:{REDACTED}@", value)
    return value
