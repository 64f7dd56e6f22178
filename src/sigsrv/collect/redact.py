"""What evidence must not hold is taken out before anything is stored."""

from __future__ import annotations

import re
from typing import Any

REDACTED = "(redacted)"
_USERINFO = re.compile(r"(://[^/?#\s@:]*):[^/?#\s]*@")  # the password of a URL, such as that of a proxy or a log server
_SECRET = re.compile(
    r"^(user|cloud-init|environment)\.|\.environment$|password|secret|token|credential|hmac|(^|[._])(client|api|private|access)_?key$",
    re.IGNORECASE,
)
# Of an operation what tells of tokens. What else it holds are the secrets of its connections, and a command with its environment.
_OF_OPERATION = ("id", "class", "status", "created_at", "location", "resources", "metadata")


def _is_secret(key: str) -> bool:
    """Whether the value of a key is kept out. How long a token lasts (``core.remote_token_expiry``) is no secret."""
    return bool(_SECRET.search(key)) and not key.endswith("token_expiry")


def _tells(value: Any) -> bool:
    return not (value is None or isinstance(value, bool | int | float))


def of_operations(value: Any) -> Any:
    """The answer ``/1.0/operations``, by state lists of operations, with nothing but what a scan reads of them."""
    if not isinstance(value, dict):
        return None
    return {
        state: [_operation(row) for row in rows if isinstance(row, dict)] if isinstance(rows, list) else None
        for state, rows in value.items()
    }


def _operation(row: dict[str, Any]) -> dict[str, Any]:
    kept: dict[str, Any] = {key: redacted(row[key]) for key in _OF_OPERATION if key in row}
    said = kept.get("metadata")
    if isinstance(said, dict):
        request = said.get("request")
        kept["metadata"] = {"serverName": said["serverName"]} if "serverName" in said else {}
        if isinstance(request, dict) and "name" in request:
            kept["metadata"]["request"] = {"name": request["name"]}
    return kept


def redacted(value: Any) -> Any:
    """A JSON value with each value of a secret key replaced: user.*, cloud-init.*, environments, passwords, tokens, private keys.

    Of a URL the password alone. Whether there is something (true, 0, null) is no secret.
    """
    if isinstance(value, dict):
        return {k: REDACTED if _is_secret(k) and _tells(v) else redacted(v) for k, v in value.items()}
    if isinstance(value, list):
        return [redacted(item) for item in value]
    if isinstance(value, str) and "://" in value:
        return _USERINFO.sub(rf"\1:{REDACTED}@", value)
    return value
