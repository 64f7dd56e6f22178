"""Which authorizer decides what a client of the API may do.

Source: Incus, doc/authorization.md ("client routing"); internal/server/auth/router.go; internal/server/auth/driver_tls.go of Incus 6.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping

ROUTING = "authorization_client_routing"  # the API extension with the keys ``authorization.client.*``
ALLOW, TLS = "allow", "tls"
_KEY = "authorization.client."
# The classes of clients, each with the authorizer that decides if no key says otherwise.
_BUILT_IN: Mapping[str, str] = {
    "unix": ALLOW,
    "tls": ALLOW,
    "tls-restricted": TLS,
    "oidc": ALLOW,
    "default": "deny",
}
_OPENFGA = ("api.url", "api.token", "store.id")  # all of them, else OpenFGA is off


def routes(config: Mapping[str, str], extensions: Collection[str]) -> dict[str, str]:
    """Return class of clients -> ``allow``, ``deny``, ``tls``, ``openfga`` or ``scriptlet``.

    A server without routing asks OpenFGA or the scriptlet about the accounts of an identity provider if one of them is configured, and
    allows them everything else. Both don't limit clients with certificates there.
    """
    if ROUTING in extensions or any(key.startswith(_KEY) and value for key, value in config.items()):
        default = config.get(f"{_KEY}default") or ""
        return {name: config.get(_KEY + name) or default or built_in for name, built_in in _BUILT_IN.items()}
    found = dict(_BUILT_IN)
    if config.get("authorization.scriptlet"):
        found["oidc"] = "scriptlet"
    if any(all(config.get(prefix + key) for key in _OPENFGA) for prefix in ("openfga.", "authorization.openfga.")):
        found["oidc"] = "openfga"
    return found
