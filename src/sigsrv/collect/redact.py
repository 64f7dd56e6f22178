"""collect.redact: what evidence must not hold is taken out before anything is stored.

Room: collect; imports nothing of the project.
"""

from __future__ import annotations

import re
from typing import Any

REDACTED = "(redacted)"
_USERINFO = re.compile(r"(://[^/?#\s@:]*):[^/?#\s]*@")  # the password of a URL, such as that of a proxy or a log server
_SECRET = re.compile(r"^(user|cloud-init|environment)\.|password|secret|token", re.IGNORECASE)


def _is_secret(key: str) -> bool:
    """Whether the value of a key is kept out. How long a token lasts (``core.remote_token_expiry``) is no secret."""
    return bool(_SECRET.search(key)) and not key.endswith("_expiry")


def redacted(value: Any) -> Any:
    """A JSON value with each value of a secret key replaced: user.*, cloud-init.*, environment.*, passwords and tokens.

    Of a URL the password alone.
    """
    if isinstance(value, dict):
        return {k: REDACTED if _is_secret(k) and isinstance(v, str) else redacted(v) for k, v in value.items()}
    if isinstance(value, list):
        return [redacted(item) for item in value]
    if isinstance(value, str) and "://" in value:
        return _USERINFO.sub(rf"\1:{REDACTED}@", value)
    return value
