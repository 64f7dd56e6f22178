"""Checks of AUTH: certificates and accounts that may use Incus."""

from collections.abc import Collection

from sigsrv import ClusterFacts, HostFacts, Require, Site, policy
from sigsrv.facts.trust import X509, TrustEntry, short
from sigsrv.judge.ages import DAY_S
from sigsrv.model.errors import EvidenceError

_ADMINS = "incus-admin"
_SHA2 = ("sha224", "sha256", "sha384", "sha512")
_EDWARDS = ("Ed25519", "Ed448")
_LEAST_BITS = {"ECDSA": 256, "RSA": 3072, "Ed25519": 256, "Ed448": 448}
_SHORTEST = 12  # the site file must give at least this many characters of a fingerprint


@policy("AUTH-002")
def test_client_certificates_are_restricted_to_projects(facts: ClusterFacts, site: Site, require: Require) -> None:
    """Looks at the client certificates in the trust store, and at the projects that exist.

    A certificate must be restricted to projects that exist, or the site file must list it in auth.full_certificates. Certificates of
    members and of metrics are not checked: they give no access to instances.
    """
    entries, projects = facts.incus.first(lambda incus: (incus.trust, {project.name for project in incus.projects}))
    for entry in entries:
        if entry.type in ("server", "metrics"):
            require.leave_out(entry.resource, f"a certificate of type {entry.type} gives no access to instances")
            continue
        missing = sorted(set(entry.projects) - projects)
        same_name = [other for other in entries if other.type == "client" and other.name == entry.name]
        full = _is_listed(entry, site.auth.full_certificates, len(same_name) == 1)
        if entry.restricted:
            seen = f"restricted to {', '.join(sorted(entry.projects)) or 'no project, so it has no access at all'}"
            seen += f"; no such project: {', '.join(missing)}" if missing else ""
        else:
            seen = f"not restricted{', as the site file allows' if full else ''}"
            if not full and entry.name in site.auth.full_certificates:
                seen += f"; {len(same_name)} certificates have this name, so the site file must list the fingerprint"
        require(
            entry.resource,
            full or (entry.restricted and not missing),
            expected="restricted to projects, or listed in auth.full_certificates of the site file",
            observed=f"{entry.name}: {seen}",
        )


def _is_listed(entry: TrustEntry, listed: Collection[str], name_is_unique: bool) -> bool:
    """Return whether a list contains a certificate: by its name if no other one has it, or by the beginning of its fingerprint."""
    prefixes = [each.lower() for each in listed if len(each) >= _SHORTEST]
    return (name_is_unique and entry.name in listed) or any(entry.fingerprint.startswith(each) for each in prefixes)


@policy("AUTH-003")
def test_certificates_are_strong_valid_and_not_about_to_expire(
    facts: ClusterFacts, site: Site, require: Require
) -> None:
    """Looks at the certificates in the trust store, and at the one that each host's daemon shows.

    A certificate that is in several places is checked once.
    """
    found: dict[str, tuple[str, X509]] = {}
    in_store: set[str] = set()
    for entry in facts.incus.trust:
        with require.about(entry.resource):
            in_store.add(entry.fingerprint)
            found[entry.fingerprint] = (entry.name, entry.certificate)
    for host in facts.hosts.values():
        with require.about(host.name, host=host.name):
            shown = host.incus.certificate
            if shown.fingerprint not in in_store:
                found.setdefault(shown.fingerprint, (f"the certificate that {host.name} shows", shown))
    least = site.thresholds.certificate_days
    for fingerprint, (name, certificate) in sorted(found.items(), key=lambda item: item[0]):
        faults = _weaknesses(certificate)
        days = (certificate.not_after - facts.collected) / DAY_S
        if certificate.not_before > facts.collected:
            faults.append("not valid yet")
        if days <= 0:
            faults.append(f"expired {-days:.0f} days ago")
        elif days <= least:
            faults.append(f"expires in {days:.0f} days")
        fine = f"{certificate.key} {certificate.bits}, {certificate.signature}, valid for {days:.0f} days"
        require(
            short(fingerprint),
            not faults,
            expected=f"valid for more than {least} days; at least ECDSA of 256 bits, Ed25519, or RSA of 3072 bits; SHA-2",
            observed=f"{name}: {'; '.join(faults) or fine}",
        )


def _weaknesses(certificate: X509) -> list[str]:
    found = []
    if certificate.bits < _LEAST_BITS.get(certificate.key, certificate.bits + 1):
        found.append(f"{certificate.key} of {certificate.bits} bits")
    if certificate.signature not in (*_SHA2, *_EDWARDS):
        found.append(f"signed with {certificate.signature}")
    return found


@policy("AUTH-004")
def test_only_the_site_s_admins_are_in_group_incus_admin(facts: HostFacts, site: Site, require: Require) -> None:
    """Looks at the members of the group incus-admin, and at the owner, mode and ACL of the Incus socket.

    An account is a member if the group lists it, or if the group is the primary group of the account. Only root and incus-admin may
    write to the socket.
    """
    members, socket = facts.accounts.members(_ADMINS), facts.accounts.socket
    allowed = set(site.auth.admins)
    listed = [name for name in members.listed if name not in allowed]
    primary = [f"{name} has {_ADMINS} as its primary group" for name in members.primary if name not in allowed]
    access = []
    if socket.owner != "root":
        access.append(f"the socket belongs to {socket.owner}")
    if socket.mode & 0o020 and socket.group not in (_ADMINS, "root"):
        access.append(f"group {socket.group} may write to the socket")
    if socket.mode & 0o002:
        access.append(f"everybody may write to the socket (mode {socket.mode:04o})")
    if facts.accounts.socket_has_acl:
        access.append("an ACL lets other accounts write to the socket (see getfacl /var/lib/incus/unix.socket)")
    faults = [*(f"{name} is in {_ADMINS}" for name in listed), *primary, *access]
    if not faults and not facts.accounts.knows(socket.group):
        reason = f"{facts.name}: the host reports no group {socket.group}, so the accounts that may use the socket are unknown"
        raise EvidenceError(reason, host=facts.name)
    require(
        facts.name,
        not faults,
        expected=f"{_ADMINS}: {', '.join(sorted(allowed)) or 'no account'}; the socket has mode 0660 and no ACL, and belongs to "
        f"root and {_ADMINS}",
        observed="; ".join(faults)
        or f"{_ADMINS}: {', '.join(members.all) or 'no account'}; {socket.mode:04o} {socket.owner} {socket.group}",
        fix={"group": _ADMINS, "users": listed, "refused": "; ".join([*primary, *access])},
    )
