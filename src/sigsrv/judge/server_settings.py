"""Values for the remediation ``set-server-config``."""

from __future__ import annotations

from collections.abc import Mapping


def server_setting(key: str, value: str, member: str = "", wait_s: str = "") -> Mapping[str, str]:
    """Return one key for the remediation to set; an empty value unsets the key.

    member: the member whose own key it is; "" for a key of the whole cluster. wait_s: for how many seconds after the change the
    remediation waits for an Offline member; "" for not at all.
    """
    return {"key": key, "value": value, "member": member, "wait_s": wait_s}
