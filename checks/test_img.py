"""Checks of IMG: the images of all projects."""

import re

from sigsrv import ClusterFacts, Require, Site, policy
from sigsrv.facts.images import Image
from sigsrv.facts.resources import Config
from sigsrv.judge.clauses import Clauses
from sigsrv.model.errors import EvidenceError

_DAY_S = 24 * 3600
_OFF = "updates are off (auto_update)"
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
    most = site.thresholds.image_days
    expected = f"at most {most} days old; with a source, it updates automatically; an unused cached copy expires"
    for image in facts.incus.images:
        with require.finding(image.resource, expected) as finding:
            with finding.clause():
                days = _age_days(image, facts.collected)
                finding.otherwise = f"{_description(image)}{days:.0f} days old"
                if days > most:
                    finding.violated(finding.otherwise)
            with finding.clause():
                _require_updates(finding, image, facts)
            with finding.clause():
                _require_expiry(finding, image, facts)
            decide = [*finding.unknown_reasons, *_not_by_updates(finding, image)]
            finding.fix.update(url=image.url, image=f"{image.project}/{image.fingerprint}", refuse="; ".join(decide))


def _not_by_updates(finding: Clauses, image: Image) -> list[str]:
    """Return what automatic updates of the image alone do not fix: its age, the updates of the server, an unused copy."""
    off = f"{_description(image)}{_OFF}"
    return [text for text in finding.violations if text != off]


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


def _require_updates(finding: Clauses, image: Image, facts: ClusterFacts) -> None:
    """Record whether an image that has a source updates automatically."""
    if image.server is None:
        return
    if not image.auto_update:
        finding.violated(f"{_description(image)}{_OFF}")
        return
    own = _config_of(image.project, facts)  # the project's value takes precedence
    config = own if own.get(_INTERVAL) else facts.incus.config
    if _number(config, _INTERVAL, _INTERVAL_DEFAULT) <= 0:
        place = f"in the project {image.project}" if config is own else "on the server"
        finding.violated(f"{_description(image)}updates are off {place} ({_INTERVAL} is {config[_INTERVAL]})")


def _require_expiry(finding: Clauses, image: Image, facts: ClusterFacts) -> None:
    """Record whether a cached copy is still there although it is unused for longer than Incus keeps one."""
    if not image.cached:
        return
    own = _config_of(image.project, facts)
    kept = _number(own if own.get(_EXPIRY) else facts.incus.config, _EXPIRY, _EXPIRY_DEFAULT) + _GRACE_DAYS
    known = [at for at in (image.last_used, image.uploaded) if at is not None]
    unused = (facts.collected - (known[0] if known else _born(image))) / _DAY_S
    if unused > kept:
        finding.violated(f"{_description(image)}a cached copy, unused for {unused:.0f} days, more than {kept}")


def _config_of(project: str, facts: ClusterFacts) -> Config:
    """Return the configuration of a project. Raises EvidenceError, also if Incus does not list the project."""
    found = facts.incus.project(project)
    if found is None:
        raise EvidenceError(f"Incus does not list the project {project}")
    return found.config


def _number(config: Config, key: str, default: int) -> int:
    """Return an integer of a configuration. Incus treats negative numbers as 0. Raises EvidenceError if it is not an integer."""
    value = config.get(key)
    if not value:
        return default
    if re.fullmatch("-?[0-9]{1,19}", value) is None:
        raise EvidenceError(f"{key}: {value!r} is not an integer")
    return max(0, int(value))
