"""Checks of AUTH: who may do what."""

import re
from ipaddress import ip_address
from urllib.parse import urlsplit

from sigsrv import policy
from sigsrv.facts.config import OFFLINE_AFTER, OFFLINE_AFTER_S
from sigsrv.facts.listening import Endpoint, endpoint
from sigsrv.facts.trust import short
from sigsrv.model.errors import EvidenceError
from sigsrv.model.values import seconds, split_list

_DAY_S = 24 * 3600
_ADMINS = "incus-admin"
_API_PORT = 8443
_CLUSTER = "cluster.https_address"
_SHA2 = ("sha224", "sha256", "sha384", "sha512")
_EDWARDS = ("Ed25519", "Ed448")
_LEAST_BITS = {"ECDSA": 256, "RSA": 3072, "Ed25519": 256, "Ed448": 448}
_SHORTEST = 12  # characters of a fingerprint that the site may name a certificate by
_SERVICES = ("core.metrics_address", "core.storage_buckets_address", "core.bgp_address", "core.dns_address")
_EXPIRY_S = {"S": 1, "M": 60, "H": 3600, "d": _DAY_S, "w": 7 * _DAY_S, "m": 31 * _DAY_S, "y": 366 * _DAY_S}
_HERE = ("localhost", "localhost.localdomain", "ip6-localhost")


def _setting(facts, key, value, local, settle=""):
    """A key for ``set-server-config``. local: it is this member's own, and not the cluster's."""
    member = facts.member if local and facts.incus.server.clustered else ""
    return {"key": key, "value": value, "member": member, "settle": settle if member else ""}


def _settling_s(config):
    """For how long no member may be Offline after an address was changed: a lost one is called so after the threshold, half of it apart."""
    return str(seconds(config.get(OFFLINE_AFTER), OFFLINE_AFTER_S, OFFLINE_AFTER) * 3 // 2)


@policy("AUTH-001")
def test_incus_api_listens_only_where_the_site_says(facts, site, require):
    """What is set, and what the kernel says: a name is resolved when the daemon starts."""
    config = facts.incus.config
    allowed = {endpoint(address, _API_PORT) for address in site.auth.listen.get(facts.name, ())}
    keys = ("core.https_address", _CLUSTER)
    wanted = {key: endpoint(config[key], _API_PORT) for key in keys if config.get(key)}
    faults, settings, by_hand = [], [], []
    for key, found in wanted.items():
        resolved = _resolved(facts, wanted, found) if found.is_name and found not in allowed else {found}
        if resolved <= allowed:
            continue
        means = f", which listens on {', '.join(sorted(map(str, resolved)))}" if found not in resolved else ""
        faults.append(f"{key} is {found}{', any address' if found.is_wildcard else means}")
        # Not the cluster's, where there is another: over that one clients came.
        addresses = sorted((each == wanted.get(_CLUSTER), str(each)) for each in allowed if not each.is_wildcard)
        if key != "core.https_address":
            by_hand.append(f"{key} can't be changed while the host is a member")
        elif not addresses:
            by_hand.append(f"auth.listen of the site names no address of {facts.name}")
        else:
            settings.append(_setting(facts, key, addresses[0][1], local=True, settle=_settling_s(config)))
    for each in facts.listeners:
        mine = [found for found in wanted.values() if found.port == each.port]
        if mine and each.is_wildcard and not any(found.is_wildcard for found in mine):
            faults.append(f"{each} takes connections to any address")
            by_hand.append(f"something else than the set address listens on {each}")
    where = ", ".join(sorted(str(each) for each in allowed))
    require(
        facts.name,
        not faults,
        expected=f"no address but {where}" if where else "no address: the site allows none",
        observed="; ".join(faults) or ", ".join(sorted({str(found) for found in wanted.values()})) or "no address",
        fix={"settings": settings, "refused": "; ".join(dict.fromkeys(by_hand))},
    )


def _resolved(facts, wanted, name):
    """Where the API listens by a name: the sockets of its port that no other set address explains. Itself, where there is none."""
    others = {(found.host, found.port) for found in wanted.values() if not found.is_name}
    sockets = [each for each in facts.listeners if each.port == name.port and (each.address, each.port) not in others]
    return {Endpoint(each.address, each.port) for each in sockets if not each.is_wildcard} or {name}


@policy("AUTH-002")
def test_client_certificates_are_restricted_and_access_is_by_role(facts, site, require):
    """Certificates of members and of metrics are not judged: they give no access to instances."""
    entries, projects = facts.incus.first(lambda incus: (incus.trust, {project.name for project in incus.projects}))
    for entry in entries:
        if entry.type in ("server", "metrics"):
            continue
        unknown = sorted(set(entry.projects) - projects)
        namesakes = [other for other in entries if other.type == "client" and other.name == entry.name]
        full = _is_named(entry, site.auth.full_certificates, len(namesakes) == 1)
        if entry.restricted:
            seen = f"restricted to {', '.join(sorted(entry.projects)) or 'no project: it has no access at all'}"
            seen += f"; there is no project {', '.join(unknown)}" if unknown else ""
        else:
            seen = f"not restricted{', as the site says' if full else ''}"
            if not full and entry.name in site.auth.full_certificates:
                seen += f"; {len(namesakes)} certificates have this name: the site must say which, by its fingerprint"
        require(
            entry.resource,
            full or (entry.restricted and not unknown),
            expected="restricted to projects, or in full_certificates of the site",
            observed=f"{entry.name}: {seen}",
        )


def _is_named(entry, names, alone):
    """Whether the site names a certificate: by its name, where it has that alone, or by its fingerprint or the beginning of it."""
    prints = [name.lower() for name in names if len(name) >= _SHORTEST]
    return (alone and entry.name in names) or any(entry.fingerprint.startswith(each) for each in prints)


@policy("AUTH-003")
def test_certificates_are_valid_not_about_to_expire_and_strong(facts, site, require):
    """Those of the trust store, and the one that each host's daemon shows; one that stands in several places once."""
    found, judged = {}, set()
    for entry in facts.incus.trust:
        with require.about(entry.resource):
            judged.add(entry.fingerprint)
            found[entry.fingerprint] = (entry.name, entry.certificate)
    for host in facts.hosts.values():
        with require.about(host.name, host=host.name):
            shown = host.incus.certificate
            if shown.fingerprint not in judged:
                found.setdefault(shown.fingerprint, (f"the certificate that {host.name} shows", shown))
    least = site.thresholds.certificate_days
    for fingerprint, (name, read) in sorted(found.items()):
        faults = _weaknesses(read)
        days = (read.not_after - facts.collected) / _DAY_S
        if read.not_before > facts.collected:
            faults.append("not valid yet")
        if days <= 0:
            faults.append(f"expired {-days:.0f} days ago")
        elif days <= least:
            faults.append(f"expires in {days:.0f} days")
        require(
            short(fingerprint),
            not faults,
            expected=f"valid for more than {least} days; ECDSA of 256 bits, Ed25519 or RSA of 3072 bits, or more; SHA-2",
            observed=f"{name}: {'; '.join(faults) or f'{read.key} {read.bits}, {read.signature}, valid for {days:.0f} days'}",
        )


def _weaknesses(certificate):
    found = []
    if certificate.bits < _LEAST_BITS.get(certificate.key, certificate.bits + 1):
        found.append(f"{certificate.key} of {certificate.bits} bits")
    if certificate.signature not in (*_SHA2, *_EDWARDS):
        found.append(f"signed with {certificate.signature}")
    return found


@policy("AUTH-004")
def test_only_the_site_s_users_are_in_incus_admin(facts, site, require):
    """By the group's own list, and by having it as one's own group; and nobody else may write to the socket."""
    members, socket = facts.accounts.members(_ADMINS), facts.accounts.socket
    allowed = set(site.auth.admins)
    listed = [name for name in members.listed if name not in allowed]
    primary = [name for name in members.primary if name not in allowed]
    faults = [f"{name} is in {_ADMINS}" for name in listed]
    faults += [f"{name} has {_ADMINS} as its own group" for name in primary]
    others = []
    if socket.owner != "root":
        others.append(f"the socket belongs to {socket.owner}")
    if socket.mode & 0o020 and socket.group not in (_ADMINS, "root"):
        others.append(f"group {socket.group} may write to the socket")
    if socket.mode & 0o002:
        others.append(f"everybody may write to the socket (mode {socket.mode:04o})")
    if facts.accounts.socket_has_acl:
        others.append("others may write to the socket by an ACL: getfacl /var/lib/incus/unix.socket")
    if not faults and not others and not facts.accounts.knows(socket.group):
        reason = f"{facts.name}: no answer names the socket's group {socket.group}: who is in it is not known"
        raise EvidenceError(reason, host=facts.name)
    by_hand = [f"{name} has {_ADMINS} as its own group" for name in primary] + others
    require(
        facts.name,
        not faults and not others,
        expected=f"{_ADMINS}: {', '.join(sorted(allowed)) or 'nobody'}; the socket has mode 0660, no ACL, and belongs to root and "
        f"{_ADMINS}",
        observed="; ".join(faults + others)
        or f"{_ADMINS}: {', '.join(members.all) or 'nobody'}; {socket.mode:04o} {socket.owner} {socket.group}",
        fix={"group": _ADMINS, "users": listed, "refused": "; ".join(by_hand)},
    )


@policy("AUTH-005")
def test_remote_access_has_no_side_doors(facts, site, require):
    """The daemon's own keys and the cluster's, and the tokens that this member gave."""
    config = facts.incus.config
    exempt = site.exempt_keys("AUTH-005", facts.name)
    doors = [door for door in _doors(config) if door[0] not in exempt]
    limit = facts.collected - _DAY_S
    member = facts.member if facts.incus.server.clustered else None
    others = {host.member for host in site.hosts} - {member} if member else ()  # who tell of their own
    tokens = [each for each in facts.incus.tokens if each.created < limit and each.location not in others]
    seen = [text for _, text, _, _ in doors]
    seen += [
        f"a token for {each.purpose} is open for {(facts.collected - each.created) / _DAY_S:.0f} days"
        for each in tokens
    ]
    lasting = config.get("core.remote_token_expiry")
    reasons = "; ".join(f"{key}: {reason}" for key, reason in sorted(exempt.items()))
    require(
        facts.name,
        not seen,
        expected="tokens expire, and none is open for more than a day; no debug listener, no CA whose certificates are all trusted, "
        "no service on any address",
        observed="; ".join(seen) or f"none{f'; tokens last {lasting}' if lasting else ''}",
        reason=f"the site exempts {reasons}" if reasons else "",
        fix={
            "settings": [_setting(facts, key, value, local) for key, _, value, local in doors],
            "refused": "; ".join(f"incus operation delete {each.id}" for each in tokens),
        },
    )


def _doors(config):
    """What is open: (key, what is seen, the value that closes it, whether the key is the member's own)."""
    if config["core.trust_ca_certificates"] == "true":
        yield (
            "core.trust_ca_certificates",
            "every certificate of the CA is trusted (core.trust_ca_certificates)",
            "",
            False,
        )
    if not (config.get("core.remote_token_expiry") or "").strip():  # Incus takes blanks for nothing
        yield "core.remote_token_expiry", "tokens for clients never expire (core.remote_token_expiry)", "15M", False
    joining = config.get("cluster.join_token_expiry")
    if joining and _seconds(joining) > _DAY_S:
        yield "cluster.join_token_expiry", f"tokens for members last {joining} (cluster.join_token_expiry)", "", False
    if config["core.metrics_authentication"] == "false":
        yield "core.metrics_authentication", "metrics are told to everybody (core.metrics_authentication)", "", False
    if config.get("core.debug_address"):
        yield "core.debug_address", f"core.debug_address is {config['core.debug_address']}", "", True
    origin = config.get("core.https_allowed_origin") or ""
    if "*" in origin:
        yield (
            "core.https_allowed_origin",
            f"web pages of {origin} may use the API (core.https_allowed_origin)",
            "",
            False,
        )
    for key in _SERVICES:
        if config.get(key) and endpoint(config[key], 1).is_wildcard:
            yield key, f"{key} is {config[key]}, any address", "", True


def _seconds(expiry):
    """How long ``3H`` or ``1d 12H`` is. Raises EvidenceError where Incus would not take it."""
    parts = expiry.split()
    if not parts or not all(re.fullmatch(r"[0-9]{1,9}[SMHdwmy]", part) for part in parts):
        raise EvidenceError(f"cluster.join_token_expiry: {expiry!r} is no time")
    return sum(int(part[:-1]) * _EXPIRY_S[part[-1]] for part in parts)


@policy("AUTH-006")
def test_access_is_logged_off_the_host(facts, site, require):
    """Lifecycle events say who did what, and from where; what only this host keeps, whoever takes it over can change."""
    targets, others, places = [], [], set()
    for name, kind, address, types in _targets(facts.incus.config):
        if "lifecycle" not in types:
            others.append(f"{name}: of {', '.join(types) or 'no type'} alone")
        elif not address or _is_here(address):
            others.append(f"{name}: {_place(address) or 'without an address'}, on the host itself")
        elif member := _at_member(facts, site, _host_of(address)):
            others.append(f"{name}: {_place(address)}, on {member} itself")
        else:
            places.add(_place(address))
            targets.append(f"{name}: {kind} at {_place(address)}")
    least = site.auth.log_targets_min
    if not least:
        require.not_applicable(facts.name, "the site wants no place off the host (auth.log_targets_min is 0)")
        return
    require(
        facts.name,
        len(places) >= least,
        expected=f"at least {least} place{'' if least == 1 else 's'} off the host that lifecycle events are sent to",
        observed="; ".join([*targets, *others]) or "no place",
    )


def _targets(config):
    """Where events are sent to: (name, kind, address, types). ``loki`` is the form of 6.0.4, ``logging.NAME`` of all after it."""
    if config.get("loki.api.url"):
        yield "loki", "loki", config["loki.api.url"], split_list(config.get("loki.types") or "lifecycle,logging")
    for key in sorted(config):
        found = re.fullmatch(r"logging\.([^.]+)\.target\.type", key)
        if found and config[key]:
            prefix = f"logging.{found[1]}"
            address = config.get(f"{prefix}.target.address") or ""
            yield found[1], config[key], address, split_list(config.get(f"{prefix}.types") or "lifecycle,logging")


def _host_of(address):
    """The host of a URL, or of ``HOST:PORT``; "" of a path."""
    if address.startswith("/"):
        return ""
    try:
        return (urlsplit(address if "://" in address else f"//{address}").hostname or "").rstrip(".")
    except ValueError as cause:
        raise EvidenceError(f"{address[:80]!r} is no address: {cause}") from cause


def _is_here(address):
    host = _host_of(address)
    try:
        found = ip_address(host)
    except ValueError:
        return host in ("", *_HERE) or host.endswith(".localhost")
    return found.is_loopback or found.is_unspecified


def _at_member(facts, site, place):
    """The host whose own address or name a place is: what that one does is not logged elsewhere. None where it is no one's.

    Raises EvidenceError where it is an address, and a host can't tell its own.
    """
    named = {name.lower(): host.name for host in site.hosts for name in (host.name, host.member, host.address) if name}
    try:
        found = ip_address(place)
    except ValueError:
        return named.get(place)
    for host in facts.hosts.values():
        if found in {address.ip for held in host.network.addresses.values() for address in held}:
            return host.name
    return named.get(place)


def _place(address):
    """An address without what may be a password in it."""
    return _host_of(address) or address.partition("?")[0]
