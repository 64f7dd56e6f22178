"""Checks of AUTH: remote access to a daemon."""

import re
from collections.abc import Iterator, Mapping

from sigsrv import HostFacts, Require, Site, policy
from sigsrv.facts.config import OFFLINE_AFTER, OFFLINE_AFTER_S
from sigsrv.facts.listening import Endpoint, Listener, endpoint
from sigsrv.facts.resources import Config
from sigsrv.judge.ages import DAY_S
from sigsrv.judge.clauses import Clauses
from sigsrv.judge.client_routes import Access, unlimited_clients
from sigsrv.judge.server_settings import server_fix, server_setting
from sigsrv.judge.site_listeners import allowed_listeners
from sigsrv.model.errors import EvidenceError
from sigsrv.model.values import seconds

_API_PORT = 8443
_API, _CLUSTER = "core.https_address", "cluster.https_address"
_SERVICES = {  # with the port that Incus uses if the address has none (internal/ports)
    "core.metrics_address": 9100,
    "core.storage_buckets_address": 9000,
    "core.bgp_address": 179,
    "core.dns_address": 53,
}
_ORIGINS = {  # the keys with the web pages that may use a browser's certificate, each with what for
    "core.https_allowed_origin": "use the API",
    "core.https_allowed_websocket_origin": "open consoles and run commands",
}
_EXPIRY_S = {"S": 1, "M": 60, "H": 3600, "d": DAY_S, "w": 7 * DAY_S, "m": 31 * DAY_S, "y": 366 * DAY_S}


def _own_member(facts: HostFacts) -> str:
    """Return the member whose own keys a remediation sets; "" on a standalone host, which needs no --target."""
    return facts.member if facts.incus.server.clustered else ""


@policy("AUTH-001")
def test_incus_api_listens_only_on_the_site_s_addresses(facts: HostFacts, site: Site, require: Require) -> None:
    """Looks at core.https_address and cluster.https_address, and at the sockets that listen on their ports.

    If an address is a name, the sockets show where the API listens: the daemon resolves the name when it starts. Without a socket for an
    address, it is unknown where the API listens: the list of sockets lacks one, or the daemon could not use the address.
    """
    where = allowed_listeners(facts, site, _API_PORT)
    allowed = where.endpoints
    expected = f"no address other than {where.shown}" if where.shown else "no address: the site file allows none"
    with require.finding(facts.name, expected, otherwise="no address") as finding:
        config = facts.incus.config
        configured: dict[str, Endpoint] = {}
        for key in (_API, _CLUSTER):
            with finding.clause():
                if config.get(key):
                    configured[key] = endpoint(config[key], _API_PORT)
        settings, by_hand = [], []
        for key, found in configured.items():
            with finding.clause():
                resolved = _resolved(facts, configured, found) if found.is_name and found not in allowed else {found}
                if resolved <= allowed:
                    finding.holds(f"{key} is {found}")
                    continue
                if where.unread and not any(each.is_wildcard for each in resolved):
                    raise where.unread
                means = f" (listens on {', '.join(sorted(map(str, resolved)))})" if found not in resolved else ""
                finding.violated(f"{key} is {found}{' (any address)' if found.is_wildcard else means}")
                # The cluster's own address comes last: clients used another one.
                addresses = sorted(
                    (each == configured.get(_CLUSTER), str(each))
                    for each in allowed - where.local
                    if not each.is_wildcard
                )
                if key != _API:
                    by_hand.append(f"{key} can't be changed while the host is a member")
                elif not addresses:
                    by_hand.append(f"auth.listen of the site file has no address for {facts.name}")
                else:
                    member, wait_s = _own_member(facts), _wait_s(config)
                    new, wait_s = addresses[0][1], wait_s if member else ""
                    listens = {*resolved, found, endpoint(new, _API_PORT)}
                    settings.append(server_setting(key, new, member, wait_s, sorted(listens, key=str)))
        with finding.clause():
            for socket in facts.listeners:
                on_port = [found for found in configured.values() if found.port == socket.port]
                if on_port and socket.is_wildcard and not any(found.is_wildcard for found in on_port):
                    finding.violated(f"a socket accepts connections on {socket} (any address)")
                    by_hand.append(f"a socket listens on {socket}, but no key contains this address")
            for key, found in configured.items() if not finding.is_violated else ():
                if not any(_is_at(socket, found) for socket in facts.listeners):
                    why = "the list of sockets is incomplete, or the daemon could not listen there"
                    finding.unknown(f"no socket listens on {found} ({key}): {why}")
        finding.fix |= server_fix(settings, [*by_hand, *finding.unknown_reasons])


def _is_at(socket: Listener, address: Endpoint) -> bool:
    """Return whether a socket may be the one of an address; of a name, each socket on its port may be."""
    is_there = address.is_name or socket.is_wildcard or socket.address == address.host.partition("%")[0]
    return socket.port == address.port and (is_there or address.is_wildcard)


def _wait_s(config: Config) -> str:
    """Return for how many seconds no member may be Offline after an address was changed.

    A lost member shows as Offline after the threshold. Heartbeats are half of the threshold apart.
    """
    return str(seconds(config.get(OFFLINE_AFTER), OFFLINE_AFTER_S, OFFLINE_AFTER) * 3 // 2)


def _resolved(facts: HostFacts, configured: Mapping[str, Endpoint], name: Endpoint) -> set[Endpoint]:
    """Return where the API listens for an address that is a name: the sockets on its port that belong to no other address.

    If there is none, return the name itself.
    """
    others = {(found.host, found.port) for found in configured.values() if not found.is_name}
    sockets = [each for each in facts.listeners if each.port == name.port and (each.address, each.port) not in others]
    return {Endpoint(each.address, each.port) for each in sockets if not each.is_wildcard} or {name}


@policy("AUTH-005")
def test_tokens_expire_and_no_extra_remote_access_is_open(facts: HostFacts, site: Site, require: Require) -> None:
    """Looks at the keys of the daemon and of the cluster that open remote access, and at the tokens that this member issued.

    It covers tokens, a CA, metrics, the debugger, web pages, services on any address, an identity provider, and routes that allow
    everything. Who asks over the network at all is AUTH-001, certificates are AUTH-002, accounts of the host are AUTH-004. The site file
    can exempt single keys.
    """
    exempt = site.exempt_keys("AUTH-005", facts.name)
    expected = (
        "tokens expire, and none has been open for more than a day; no debug listener, no trust in every certificate of "
        "a CA, no service on any address, no accounts of an identity provider or other clients without limits"
    )
    with require.finding(facts.name, expected) as finding:
        config, member = facts.incus.config, _own_member(facts)
        settings, by_hand = [], []
        for access in (*_open_access(config, finding), *unlimited_clients(facts.incus, site.auth, finding)):
            if access.key not in exempt:
                finding.violated(access.observed)
                if access.by_hand:
                    by_hand.append(access.by_hand)
                    continue
                listens = [access.listens] if access.listens else []
                of = member if access.of_member else ""
                settings.append(server_setting(access.key, access.close, of, listens=listens))
        with finding.clause():
            others = (
                {host.member for host in site.hosts} - {member} if member else set()
            )  # they report their own tokens
            for token in facts.incus.tokens:
                age_s = facts.collected - token.created
                if age_s > DAY_S and token.location not in others:
                    finding.violated(f"a token for {token.purpose} has been open for {age_s / DAY_S:.0f} days")
                    by_hand.append(f"incus operation delete {token.id}")
        if not finding.is_violated:
            expiry = config.get("core.remote_token_expiry")
            finding.holds(f"no extra access{f'; client tokens expire after {expiry}' if expiry else ''}")
        reasons = "; ".join(f"{key}: {reason}" for key, reason in sorted(exempt.items()))
        finding.note = f"the site exempts {reasons}" if reasons else ""
        finding.fix |= server_fix(settings, [*by_hand, *finding.unknown_reasons])


def _open_access(config: Config, finding: Clauses) -> Iterator[Access]:
    """Yield each key whose value opens remote access. A value that can't be read is an unknown clause."""
    if config["core.trust_ca_certificates"] == "true":
        key = "core.trust_ca_certificates"
        yield Access(key, f"Incus trusts every certificate of the CA ({key})")
    if not (config.get("core.remote_token_expiry") or "").strip():  # Incus treats blanks as unset
        key = "core.remote_token_expiry"
        yield Access(key, f"tokens for clients never expire ({key})", close="15M")
    joining = config.get("cluster.join_token_expiry")
    with finding.clause():
        if joining and _expiry_s(joining) > DAY_S:
            key = "cluster.join_token_expiry"
            yield Access(key, f"tokens for members expire only after {joining} ({key})")
    if config["core.metrics_authentication"] == "false":
        key = "core.metrics_authentication"
        yield Access(key, f"metrics need no authentication ({key})")
    if config.get("core.debug_address"):
        key = "core.debug_address"
        with finding.clause():
            yield Access(key, f"{key} is {config[key]}", of_member=True, listens=endpoint(config[key], 8444))
    for key, use in _ORIGINS.items():
        origin = config.get(key) or ""
        if "*" in origin:
            yield Access(key, f"web pages of {origin} may {use} ({key})")
    for key, port in _SERVICES.items():
        with finding.clause():
            if config.get(key) and (found := endpoint(config[key], port)).is_wildcard:
                yield Access(key, f"{key} is {config[key]} (any address)", of_member=True, listens=found)


def _expiry_s(expiry: str) -> int:
    """Return the seconds of an expiry such as ``3H`` or ``1d 12H``. Raises EvidenceError if Incus would refuse it."""
    parts = expiry.split()
    if not parts or not all(re.fullmatch(r"[0-9]{1,9}[SMHdwmy]", part) for part in parts):
        raise EvidenceError(f"cluster.join_token_expiry: {expiry!r} is not an expiry")
    return sum(int(part[:-1]) * _EXPIRY_S[part[-1]] for part in parts)
