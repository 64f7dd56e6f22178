"""Loads waivers from ``waivers.yaml`` and applies them to the findings of a run."""

from __future__ import annotations

import dataclasses
import re
from collections.abc import Collection, Iterable, Sequence
from datetime import UTC, datetime, timedelta
from fnmatch import fnmatchcase
from pathlib import Path

from sigsrv.model import trusted, yamlfile
from sigsrv.model.errors import UsageError, nearest
from sigsrv.model.finding import Finding, Verdict, Waiver, WaiverState, WaiverUse

FILE = "waivers.yaml"
WARN = timedelta(days=14)  # a run warns this long before a waiver ends
_SKEW = timedelta(days=1)  # the clocks of two machines may differ this much
_CLUSTER = "cluster"  # the host of findings about the whole cluster

_RFC3339 = re.compile(r"\d{4}-\d{2}-\d{2}[Tt ]\d{2}:\d{2}:\d{2}(\.\d+)?([Zz]|[+-]\d{2}:\d{2})", re.ASCII)
_WITHOUT_ZONE = re.compile(r"(\d{4}-\d{2}-\d{2})([Tt ]\d{2}:\d{2}(:\d{2})?(\.\d+)?)?", re.ASCII)
_CATALOGUE = re.compile(r"[A-Z]+-")  # the start of a policy id
_LIVE_CHECK = re.compile(r"[^.]+\.test\w*")  # the id of a user's own testinfra check, which only pytest knows


def find(option: str | None, site: Path | None) -> Path | None:
    """Return the waiver file: the option's, or the one next to the site file. None if there is none.

    Raises UsageError if the option names a missing file.
    """
    if option is not None:
        if not Path(option).is_file():
            raise UsageError(f"{option}: no such waiver file (--waivers)")
        return Path(option)
    beside = site.with_name(FILE) if site else None
    return beside if beside and beside.exists() else None


def load(path: Path, policies: Collection[str], max_days: int) -> tuple[Waiver, ...]:
    """Return the waivers of a file, in its order.

    policies: the known ids. max_days: how many days after ``created`` a waiver may end.
    Raises UsageError with file, line, the error and what is allowed; also if root reads a file that others may write.
    """
    trusted.check_for_root(path)
    document = yamlfile.load(path)
    yamlfile.validate(document, yamlfile.schema("waivers"))
    yamlfile.check_characters(document)
    found: dict[tuple[str, str, str], Waiver] = {}
    for index, entry in enumerate(document.data.get("waivers") or ()):
        place = ("waivers", index)
        _check_policy(document, (*place, "policy"), entry["policy"], policies)
        waiver = Waiver(
            policy=entry["policy"],
            host=entry["host"],
            resource=entry["resource"],
            owner=" ".join(entry["owner"].split()),
            reason=" ".join(entry["reason"].split()),
            until=_parse_time(document, (*place, "until"), entry["until"]),
            created=_parse_time(document, (*place, "created"), entry["created"]) if "created" in entry else None,
            source=document.where(place),
        )
        if waiver.parts in found:
            first = found[waiver.parts].source
            raise document.error(place, f"a second waiver of the same findings; the first is {first}")
        if waiver.created and (error := duration_error(waiver.until, waiver.created, max_days)):
            raise document.error((*place, "until"), error)
        found[waiver.parts] = waiver
    return tuple(found.values())


def is_glob(text: str) -> bool:
    return any(char in text for char in "*?[")


def _check_policy(
    document: yamlfile.YamlDocument, place: Sequence[str | int], name: str, policies: Collection[str]
) -> None:
    if not is_glob(name) and name not in policies and not _LIVE_CHECK.fullmatch(name):
        raise document.error(place, f'there is no policy "{name}"', nearest(name, policies))


def _parse_rfc3339(text: str) -> datetime:
    """Return an RFC 3339 time in UTC. Raises ValueError for any other text.

    A leap second, ``23:59:60`` in UTC, is the second after ``23:59:59``: Python has no name for it.
    """
    if not _RFC3339.fullmatch(text):
        raise ValueError(f"not RFC 3339: {text!r}")
    is_leap = text[16:19] == ":60"
    try:
        found = datetime.fromisoformat((f"{text[:16]}:59{text[19:]}" if is_leap else text).upper()).astimezone(UTC)
        if not is_leap:
            return found
        if (found.hour, found.minute) != (23, 59):
            raise ValueError(f"a leap second is only at 23:59:60 UTC: {text!r}")
        return found.replace(microsecond=0) + timedelta(seconds=1)
    except OverflowError as cause:
        raise ValueError(f"not a calendar time: {text!r}") from cause


def _parse_time(document: yamlfile.YamlDocument, place: Sequence[str | int], text: str) -> datetime:
    try:
        return _parse_rfc3339(text)
    except ValueError as cause:
        if without := _WITHOUT_ZONE.fullmatch(text):
            clock = (without[2] or "T23:59:59").upper().replace(" ", "T") + (
                "" if without[3] or not without[2] else ":00"
            )
            full = f"{without[1]}{clock}"
            hint = f"add one: {full}Z for UTC, or an offset: {full}+01:00"
            raise document.error(place, f'"{text}" has no time zone', hint) from cause
        hint = "use RFC 3339, for example 2026-12-31T23:59:59+01:00"
        raise document.error(place, f'"{text}" is not a time', hint) from cause


def duration_error(until: datetime, start: datetime, max_days: int) -> str:
    """Return the error in the duration of a waiver; "" if it is valid."""
    if until <= start:
        return f"the waiver would end before it starts ({start:%Y-%m-%dT%H:%M:%SZ})"
    if until - start > timedelta(days=max_days):
        days = -((start - until) // timedelta(days=1))
        return f"{days} days is too long: the maximum is {max_days} (waivers.max_days in the site file)"
    return ""


def check_time(waivers: Iterable[Waiver], at: float, max_days: int, live: bool = True) -> None:
    """Check waivers against the time of a run: one without ``created`` must end within ``max_days`` of it.

    at: seconds since the epoch. live: the run is happening now, so no waiver can be created in the future.
    Raises UsageError with file, line and the error.
    """
    now = datetime.fromtimestamp(at, UTC)
    for waiver in waivers:
        if waiver.created is None and waiver.until - now > timedelta(days=max_days):
            raise UsageError(
                f"{waiver.source}: until: {duration_error(waiver.until, now, max_days)}",
                'use an earlier time, or add "created" (the time at which the waiver was written)',
            )
        if live and waiver.created and waiver.created - now > _SKEW:
            raise UsageError(f"{waiver.source}: created: {waiver.created:%Y-%m-%dT%H:%M:%SZ} is in the future")


def _fits(value: str, glob: str) -> bool:
    return value == glob or fnmatchcase(value, glob)


def matches(waiver: Waiver, policy: str, host: str, resource: str) -> bool:
    """Return whether a waiver matches a finding. Each part must match as a whole, before it is quoted for the id."""
    return _fits(policy, waiver.policy) and _fits(host, waiver.host) and _fits(resource, waiver.resource)


def _matches_finding(waiver: Waiver, finding: Finding) -> bool:
    return matches(waiver, finding.policy, finding.host, finding.resource)


def apply(findings: Iterable[Finding], waivers: Sequence[Waiver], at: float) -> tuple[Finding, ...]:
    """Return findings with the accepted failures set to ``waived``. If several waivers match, the one that ends last counts.

    at: the time of the evidence, in seconds since the epoch. From ``until`` on a waiver has ended: its finding fails again,
    and its reason says so. Only failures are waived.
    """
    return tuple(_with_waiver(finding, waivers, at) for finding in findings)


def _with_waiver(finding: Finding, waivers: Sequence[Waiver], at: float) -> Finding:
    if finding.verdict is not Verdict.FAIL:
        return finding
    longest = max(
        (each for each in waivers if _matches_finding(each, finding)), key=lambda each: each.until, default=None
    )
    if longest is None:
        return finding
    if at < longest.until.timestamp():
        return dataclasses.replace(finding, verdict=Verdict.WAIVED, waiver=longest)
    expired = f"the waiver by {longest.owner} ({longest.source}) expired on {longest.until:%Y-%m-%d %H:%M:%S} UTC"
    return dataclasses.replace(finding, reason=f"{finding.reason}; {expired}" if finding.reason else expired)


def review(
    waivers: Iterable[Waiver],
    findings: Collection[Finding],
    at: float,
    *,
    policies: Collection[str],
    left_out: Collection[str] = (),
) -> tuple[WaiverUse, ...]:
    """Return the state of each waiver.

    findings: all findings of the run. at: seconds since the epoch. policies: the known ids. left_out: hosts that were not scanned.
    """
    coverage = _Coverage(findings, policies, left_out)
    return tuple(_use_of(waiver, coverage, datetime.fromtimestamp(at, UTC)) for waiver in waivers)


def _use_of(waiver: Waiver, coverage: _Coverage, now: datetime) -> WaiverUse:
    failing = tuple(finding.id for finding in coverage.failing if _matches_finding(waiver, finding))
    if not failing and coverage.includes(waiver):
        state = WaiverState.STALE
    elif waiver.until <= now:
        state = WaiverState.EXPIRED
    else:
        state = WaiverState.EXPIRING if waiver.until - now <= WARN else WaiverState.ACTIVE
    return WaiverUse(waiver, state, failing)


class _Coverage:
    """What a run evaluated. Answers whether that includes everything that a waiver could match."""

    def __init__(self, findings: Collection[Finding], policies: Collection[str], left_out: Collection[str]) -> None:
        self.failing = [finding for finding in findings if finding.verdict in (Verdict.FAIL, Verdict.WAIVED)]
        self._by_parts = {(finding.policy, finding.host, finding.resource): finding for finding in findings}
        self._undetermined = {(finding.policy, finding.host) for finding in findings if _is_undetermined(finding)}
        self._evaluated = {finding.policy for finding in findings}
        self._policies = policies
        self._left_out = left_out

    def includes(self, waiver: Waiver) -> bool:
        """Return whether the run evaluated everything that a waiver could match. False if unknown."""
        found = self._by_parts.get(waiver.parts)
        if found is not None:
            return not _is_undetermined(found)
        if not _CATALOGUE.match(waiver.policy):
            return False  # it may match a user's own check
        matching = {each for each in self._policies if _fits(each, waiver.policy)}
        if not matching <= self._evaluated or not (matching or is_glob(waiver.policy)):
            return False
        if self._left_out and (
            _fits(_CLUSTER, waiver.host) or any(_fits(host, waiver.host) for host in self._left_out)
        ):
            return False
        return not any(
            policy in matching and (host == _CLUSTER or _fits(host, waiver.host)) for policy, host in self._undetermined
        )


def _is_undetermined(finding: Finding) -> bool:
    """Return whether a finding has no clear result: an error, or not applicable because of another finding."""
    return finding.verdict is Verdict.ERROR or (
        finding.verdict is Verdict.NOT_APPLICABLE and finding.because is not None
    )
