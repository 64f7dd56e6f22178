"""Values for the remediation ``set-server-config``."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from sigsrv.facts.listening import Endpoint

# What each key ends when the remediation changes it.
_ENDS: Mapping[str, str] = {
    "core.https_address": "Remote clients of the API that use another address are cut off, browsers with the web interface too. If other "
    "members reached this one only over the old address, the script restarts its daemon: Incus opens a separate listener for them only at "
    "its start.",
    "core.trust_ca_certificates": "Clients that Incus trusts only for the CA of their certificate are refused, perhaps you too: add their "
    "certificates first (incus config trust add-certificate).",
    "core.remote_token_expiry": "New tokens for clients expire after 15 minutes. Older ones stay as they are.",
    "cluster.join_token_expiry": "New tokens for members expire after three hours.",
    "core.metrics_authentication": "Scrapers of /1.0/metrics without a trusted certificate, as Prometheus may be, get no metrics.",
    "core.metrics_address": "Scrapers that read the metrics at this address get none.",
    "core.debug_address": "Nobody can profile the daemon over the network.",
    "core.https_allowed_origin": "Web pages of other origins can't use the API.",
    "core.https_allowed_websocket_origin": "Web pages of other origins can't open consoles or run commands.",
    "authorization.client.default": "Clients without a route of their own get the built-in one.",
    "authorization.client.tls-restricted": "Restricted certificates can use only their projects.",
    "core.storage_buckets_address": "S3 clients lose the storage buckets of this member.",
    "core.bgp_address": "BGP sessions with this member end, and routers drop the routes to its networks and forwards.",
    "core.dns_address": "DNS servers can't transfer the zones of networks from this member.",
    "cluster.offline_threshold": "If the threshold is lowered, members count as Offline between the next two heartbeats of the old "
    "pace, each up to half of the old threshold away. The script waits for that.",
    "cluster.healing_threshold": "With 0, Incus no longer moves the instances of a lost member.",
}


def server_setting(
    key: str, value: str, member: str = "", wait_s: str = "", listens: Iterable[Endpoint] = ()
) -> Mapping[str, Any]:
    """Return one key for the remediation to set; an empty value unsets the key.

    member: the member whose own key it is; "" for a key of the whole cluster. wait_s: for how many seconds after the change the
    remediation waits for an Offline member; "" for not at all. listens: where the daemon listens because of the key, before and after.
    """
    return {
        "key": key,
        "value": value,
        "member": member,
        "wait_s": wait_s,
        "sockets": [name for each in listens for name in _sockets(each)],
    }


def _sockets(address: Endpoint) -> list[str]:
    """Return the names that ss(8) may show for the sockets of an address. DNS also answers over UDP."""
    hosts = ("*", "0.0.0.0", "[::]") if address.is_wildcard else (str(address).rpartition(":")[0],)  # noqa: S104  names, no sockets
    return [f"{protocol} {host}:{address.port}" for host in hosts for protocol in ("tcp", "udp")]


def server_fix(settings: Sequence[Mapping[str, Any]], refused: Iterable[str]) -> dict[str, Any]:
    """Return the values for the remediation. refused: what must be fixed by hand first."""
    ends = [_ENDS.get(each["key"], "") for each in settings]
    return {
        "settings": list(settings),
        "refused": "; ".join(dict.fromkeys(refused)),
        "disrupts": " ".join([*dict.fromkeys(filter(None, ends)), "Instances keep running."]),
    }
