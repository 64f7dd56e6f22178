"""Checks of IMG: images."""

import re
from urllib.parse import quote, urlsplit

from sigsrv import policy
from sigsrv.model.errors import EvidenceError

_DAY_S = 24 * 3600
_GRACE_DAYS = 2  # the daemon looks for images to forget once a day
_INTERVAL = "images.auto_update_interval"
_PORTS = {"https": 443, "http": 80}


@policy("IMG-001")
def test_image_is_recent_updated_by_itself_or_not_kept(facts, site, require):
    """What its publisher's or its own age is, whether updates come, and whether a copy that nobody uses is forgotten."""
    images, config, projects = facts.incus.first(lambda incus: (incus.images, incus.config, incus.projects))
    of_projects = {project.name: project.config for project in projects}
    most = site.thresholds.image_days
    for image in images:
        with require.about(image.resource):
            born = max((at for at in (image.created, image.uploaded) if at is not None), default=None)
            if born is None:
                raise EvidenceError(f"image {image.resource}: neither when it was built nor when it came is known")
            days = (facts.collected - born) / _DAY_S
            if days < -1:
                raise EvidenceError(
                    f"image {image.resource}: it is of {-days:.0f} days after the evidence was collected"
                )
            faults = [f"{days:.0f} days old"] if days > most else []
            own = of_projects.get(image.project, {})
            if image.server is not None and (why := _no_updates(image, own, config)):
                faults.append(why)
            if image.cached:
                source = own if own.get("images.remote_cache_expiry") else config
                kept = _number(source, "images.remote_cache_expiry", 10) + _GRACE_DAYS
                used = image.uploaded if image.last_used is None else image.last_used
                unused = (facts.collected - (born if used is None else used)) / _DAY_S
                if unused > kept:
                    faults.append(f"a copy that nobody used for {unused:.0f} days, kept for more than {kept}")
            require(
                image.resource,
                not faults,
                expected=f"at most {most} days old, updated by itself where it has a source, a copy only while it is used",
                observed=f"{_named(image)}{'; '.join(faults) or f'{days:.0f} days old'}",
            )


def _named(image):
    return f"{image.description}: " if image.description else ""


def _no_updates(image, own, config):
    """Why nothing updates an image that has a source; "" where something does. What its project says wins over the server's word."""
    if not image.auto_update:
        return "updates are off (auto_update)"
    source = own if own.get(_INTERVAL) else config
    if _number(source, _INTERVAL, 6) > 0:
        return ""
    place = f"in the project {image.project}" if source is own else "on the server"
    return f"updates are off {place} ({_INTERVAL} is {source[_INTERVAL]})"


def _number(config, key, default):
    """A whole number of the server's or a project's configuration. Incus takes one below 0 for 0."""
    value = config.get(key)
    if not value:
        return default
    if re.fullmatch("-?[0-9]+", value) is None:
        raise EvidenceError(f"{key}: {value!r} is no number")
    return max(0, int(value))


@policy("IMG-002")
def test_image_comes_from_a_source_of_the_site(facts, site, require):
    """One without a source was made here, or copied by somebody: the site must know it."""
    allowed = {_origin(server) for server in site.image_servers} - {None}
    for image in facts.incus.images:
        require(
            image.resource,
            image.server is not None and _origin(image.server) in allowed,
            expected=f"from {', '.join(sorted(site.image_servers)) or 'nowhere: the site allows no server'}",
            observed=f"{_named(image)}{image.server or 'no source is known'}",
        )


def _origin(server):
    """Where a server is, in one form: scheme, host, port and path without a slash at its end. None: nowhere."""
    try:
        parts = urlsplit(server.strip())
        port = parts.port or _PORTS.get(parts.scheme)
    except ValueError:
        return None
    if not parts.hostname or parts.username is not None:
        return None
    return parts.scheme, parts.hostname.rstrip("."), port, parts.path.rstrip("/")


@policy("IMG-003")
def test_image_is_not_public(facts, site, require):
    """Whoever reaches the API takes a public image away, without a certificate; where no daemon listens nobody does."""
    for image in facts.incus.images:
        with require.about(image.resource):
            where = _listening(facts) if image.public else []
            require(
                image.resource,
                not where,
                expected="public is false, or no daemon listens on the network",
                observed=f"{_named(image)}{'public' if image.public else 'not public'}"
                + (f", and {', '.join(where)} listen" if where else ""),
                fix={"url": f"/1.0/images/{quote(image.fingerprint, safe='')}?project={quote(image.project, safe='')}"},
            )


def _listening(facts):
    """The hosts whose daemon listens on the network. Raises EvidenceError where none is known to, and one is not known."""
    found, refused = [], None
    for host in facts.hosts.values():
        try:
            config = host.incus.config
        except EvidenceError as cause:
            refused = cause
            continue
        if config.get("core.https_address") or config.get("cluster.https_address"):
            found.append(host.name)
    if not found and refused is not None:
        raise refused
    return found
