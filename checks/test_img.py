"""Checks of IMG: the images of all projects."""

import re

from sigsrv import ClusterFacts, Require, Site, policy
from sigsrv.facts.images import Image
from sigsrv.facts.resources import Config
from sigsrv.model.errors import EvidenceError

_DAY_S = 24 * 3600
_GRACE_DAYS = 2  # the daemon looks for expired images once a day
_INTERVAL, _INTERVAL_DEFAULT = "images.auto_update_interval", 6  # hours
_EXPIRY, _EXPIRY_DEFAULT = "images.remote_cache_expiry", 10  # days


@policy("IMG-001")
def test_image_is_recent_updates_automatically_and_expires_if_unused(
    facts: ClusterFacts, site: Site, require: Require
) -> None:
    """Checks the image's age, whether it updates automatically, and whether an unused cached copy expires.

    The age counts from the day on which the publisher built the image or on which it arrived, whichever is later.
    """
    images, config, projects = facts.incus.first(lambda incus: (incus.images, incus.config, incus.projects))
    of_projects = {project.name: project.config for project in projects}
    most = site.thresholds.image_days
    for image in images:
        with require.about(image.resource):
            days = _age_days(image, facts.collected)
            own = of_projects.get(image.project, {})
            faults = [f"{days:.0f} days old"] if days > most else []
            faults += _update_faults(image, own, config)
            faults += _expiry_faults(image, own, config, facts.collected)
            require(
                image.resource,
                not faults,
                expected=f"at most {most} days old; with a source, it updates automatically; an unused cached copy expires",
                observed=f"{_description(image)}{'; '.join(faults) or f'{days:.0f} days old'}",
            )


def _born(image: Image) -> float:
    """Return when the image was built or arrived, whichever is later, in seconds since the epoch."""
    known = [at for at in (image.created, image.uploaded) if at is not None]
    if not known:
        raise EvidenceError(f"image {image.resource}: Incus reports neither when it was built nor when it arrived")
    return max(known)


def _age_days(image: Image, now: float) -> float:
    days = (now - _born(image)) / _DAY_S
    if days < -1:
        raise EvidenceError(f"image {image.resource}: its date is {-days:.0f} days after the evidence was collected")
    return days


def _description(image: Image) -> str:
    return f"{image.description}: " if image.description else ""


def _update_faults(image: Image, own: Config, server: Config) -> list[str]:
    """Return why an image that has a source does not update automatically. own: the configuration of its project."""
    if image.server is None:
        return []
    if not image.auto_update:
        return ["updates are off (auto_update)"]
    config = own if own.get(_INTERVAL) else server  # the project's value takes precedence
    if _number(config, _INTERVAL, _INTERVAL_DEFAULT) > 0:
        return []
    place = f"in the project {image.project}" if config is own else "on the server"
    return [f"updates are off {place} ({_INTERVAL} is {config[_INTERVAL]})"]


def _expiry_faults(image: Image, own: Config, server: Config, now: float) -> list[str]:
    """Return whether a cached copy is still there although it is unused for longer than Incus keeps one."""
    if not image.cached:
        return []
    kept = _number(own if own.get(_EXPIRY) else server, _EXPIRY, _EXPIRY_DEFAULT) + _GRACE_DAYS
    known = [at for at in (image.last_used, image.uploaded) if at is not None]
    unused = (now - (known[0] if known else _born(image))) / _DAY_S
    return [f"a cached copy, unused for {unused:.0f} days, more than {kept}"] if unused > kept else []


def _number(config: Config, key: str, default: int) -> int:
    """Return an integer of a configuration. Incus treats negative numbers as 0. Raises EvidenceError if it is not an integer."""
    value = config.get(key)
    if not value:
        return default
    if re.fullmatch("-?[0-9]+", value) is None:
        raise EvidenceError(f"{key}: {value!r} is not an integer")
    return max(0, int(value))
