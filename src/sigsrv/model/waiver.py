"""Failures that a named person accepts, from the file ``waivers.yaml``; and what they make of a run's findings."""

from __future__ import annotations

import dataclasses
import re
from collections.abc import Collection, Iterable, Sequence
from datetime import UTC, datetime, timedelta
from fnmatch import fnmatchcase
from pathlib import Path

from sigsrv.model import yamlfile
from sigsrv.model.errors import UsageError, nearest
from sigsrv.model.finding import Finding, Verdict, Waiver, WaiverState, WaiverUse

FILE = "waivers.yaml"
WARN = timedelta(days=14)  # how long before its end a run begins to warn
_SKEW = timedelta(days=1)  # how far the clocks of two machines may differ
_CLUSTER = "cluster"  # the host of what concerns the whole cluster

_RFC3339 = re.compile(r"\d{4}-\d{2}-\d{2}[Tt ]\d{2}:\d{2}:\d{2}(\.\d+)?([Zz]|[+-]\d{2}:\d{2})", re.ASCII)
_WITHOUT_ZONE = re.compile(r"(\d{4}-\d{2}-\d{2})([Tt ]\d{2}:\d{2}(:\d{2})?(\.\d+)?)?", re.ASCII)
_CATALOGUE = re.compile(r"[A-Z]+-")  # how the id of a policy begins
_LIVE_CHECK = re.compile(r"[^.]+\.test\w*")  # the id of a check of one's own, which pytest alone knows


def find(option: str | None, site: Path | None) -> Path | None:
    """The file of waivers: the option's, else the one beside the site file; None where there is none.

    Raises UsageError where the option names none.
    """
    if option is not None:
        if not Path(option).is_file():
            raise UsageError(f"{option}: no such file of waivers (--waivers)")
        return Path(option)
    beside = site.with_name(FILE) if site else None
    return beside if beside and beside.exists() else None


def load(path: Path, policies: Collection[str], max_days: int) -> tuple[Waiver, ...]:
    """The waivers of a file, in its order. policies: the ids that there are; max_days: how far after ``created`` one may end.

    Raises UsageError: file, line, what is wrong, what is allowed.
    """
    document = yamlfile.load(path)
    yamlfile.validate(document, yamlfile.schema("waivers"))
    found: list[Waiver] = []
    for index, entry in enumerate(document.data.get("waivers") or ()):
        place = ("waivers", index)
        _check_policy(document, (*place, "policy"), entry["policy"], policies)
        waiver = Waiver(
            policy=entry["policy"],
            host=entry["host"],
            resource=entry["resource"],
            owner=" ".join(entry["owner"].split()),
            reason=" ".join(entry["reason"].split()),
            until=_time(document, (*place, "until"), entry["until"]),
            created=_time(document, (*place, "created"), entry["created"]) if "created" in entry else None,
            source=document.where(place),
        )
        if twin := next((each for each in found if each.parts == waiver.parts), None):
            raise document.error(place, f"a second waiver of the same findings; the first is {twin.source}")
        if waiver.created and (mistake := too_far(waiver.until, waiver.created, max_days)):
            raise document.error((*place, "until"), mistake)
        found.append(waiver)
    return tuple(found)


def is_glob(text: str) -> bool:
    return any(char in text for char in "*?[")


def _check_policy(
    document: yamlfile.YamlDocument, place: Sequence[str | int], name: str, policies: Collection[str]
) -> None:
    if not is_glob(name) and name not in policies and not _LIVE_CHECK.fullmatch(name):
        raise document.error(place, f'there is no policy "{name}"', nearest(name, policies))


def instant(text: str) -> datetime:
    """A time that RFC 3339 allows, in UTC. Raises ValueError for any other text."""
    if not _RFC3339.fullmatch(text):
        raise ValueError(f"not RFC 3339: {text!r}")
    try:
        return datetime.fromisoformat(text.upper()).astimezone(UTC)
    except OverflowError as cause:
        raise ValueError(f"no time of the calendar: {text!r}") from cause


def _time(document: yamlfile.YamlDocument, place: Sequence[str | int], text: str) -> datetime:
    try:
        return instant(text)
    except ValueError as cause:
        if without := _WITHOUT_ZONE.fullmatch(text):
            clock = (without[2] or "T23:59:59").upper().replace(" ", "T") + (
                "" if without[3] or not without[2] else ":00"
            )
            full = f"{without[1]}{clock}"
            hint = f"{full}Z in UTC, or with the distance from it: {full}+01:00"
            raise document.error(place, f'"{text}" has no time zone', hint) from cause
        raise document.error(place, f'"{text}" is no time', "2026-12-31T23:59:59+01:00, as RFC 3339 has it") from cause


def too_far(until: datetime, start: datetime, max_days: int) -> str:
    """What is wrong with a waiver of that time; "" where nothing is."""
    if until <= start:
        return f"it would end before it begins ({start:%Y-%m-%dT%H:%M:%SZ})"
    if until - start > timedelta(days=max_days):
        days = -((start - until) // timedelta(days=1))
        return f"that is {days} days, and a waiver may last {max_days} (waivers.max_days of the site)"
    return ""


def check_time(waivers: Iterable[Waiver], at: float, max_days: int, live: bool = True) -> None:
    """Hold waivers against the time of a run, in seconds since the epoch: none without ``created`` may end too far ahead of it.

    live: the run is of now, so that none may have been written after it. Raises UsageError: file, line, what is wrong.
    """
    now = datetime.fromtimestamp(at, UTC)
    for waiver in waivers:
        if waiver.created is None and waiver.until - now > timedelta(days=max_days):
            raise UsageError(
                f"{waiver.source}: until: {too_far(waiver.until, now, max_days)}",
                "an earlier time, or created: when it was written",
            )
        if live and waiver.created and waiver.created - now > _SKEW:
            raise UsageError(f"{waiver.source}: created: {waiver.created:%Y-%m-%dT%H:%M:%SZ} is still to come")


def _is(value: str, glob: str) -> bool:
    return value == glob or fnmatchcase(value, glob)


def matches(waiver: Waiver, policy: str, host: str, resource: str) -> bool:
    """Whether a waiver is of a finding: each of its parts, as they are before they are quoted, whole."""
    return _is(policy, waiver.policy) and _is(host, waiver.host) and _is(resource, waiver.resource)


def _of(waiver: Waiver, finding: Finding) -> bool:
    return matches(waiver, finding.policy, finding.host, finding.resource)


def decide(findings: Iterable[Finding], waivers: Sequence[Waiver], at: float) -> tuple[Finding, ...]:
    """Findings with the failures that are accepted ``waived``. Of several waivers that match, the one that lasts longest counts.

    at: the evidence's own time, in seconds since the epoch. A waiver has ended from ``until`` on: its finding fails again, and
    says so. Nothing but a failure is ever waived.
    """
    return tuple(_decided(finding, waivers, at) for finding in findings)


def _decided(finding: Finding, waivers: Sequence[Waiver], at: float) -> Finding:
    if finding.verdict is not Verdict.FAIL:
        return finding
    last = max((each for each in waivers if _of(each, finding)), key=lambda each: each.until, default=None)
    if last is None:
        return finding
    if at < last.until.timestamp():
        return dataclasses.replace(finding, verdict=Verdict.WAIVED, waiver=last)
    ended = f"the waiver by {last.owner} ({last.source}) expired on {last.until:%Y-%m-%d %H:%M:%S} UTC"
    return dataclasses.replace(finding, reason=f"{finding.reason}; {ended}" if finding.reason else ended)


def review(
    waivers: Iterable[Waiver],
    findings: Collection[Finding],
    at: float,
    *,
    policies: Collection[str],
    left_out: Collection[str] = (),
) -> tuple[WaiverUse, ...]:
    """What became of each waiver. findings: all that was judged; policies: the ids that there are; left_out: hosts not scanned."""
    judged = _Judged(findings, policies, left_out)
    return tuple(_used(waiver, judged, datetime.fromtimestamp(at, UTC)) for waiver in waivers)


def _used(waiver: Waiver, judged: _Judged, now: datetime) -> WaiverUse:
    failing = tuple(finding.id for finding in judged.failing if _of(waiver, finding))
    if not failing and judged.covers(waiver):
        state = WaiverState.STALE
    elif waiver.until <= now:
        state = WaiverState.EXPIRED
    else:
        state = WaiverState.EXPIRING if waiver.until - now <= WARN else WaiverState.ACTIVE
    return WaiverUse(waiver, state, failing)


class _Judged:
    """What a run knows: whether it has judged all that a waiver could match."""

    def __init__(self, findings: Collection[Finding], policies: Collection[str], left_out: Collection[str]) -> None:
        self.failing = [finding for finding in findings if finding.verdict in (Verdict.FAIL, Verdict.WAIVED)]
        self._by_parts = {(finding.policy, finding.host, finding.resource): finding for finding in findings}
        self._unknown = {(finding.policy, finding.host) for finding in findings if _is_open(finding)}
        self._evaluated = {finding.policy for finding in findings}
        self._policies = policies
        self._left_out = left_out

    def covers(self, waiver: Waiver) -> bool:
        """Whether everything that a waiver could match was judged. False where that can't be told."""
        found = self._by_parts.get(waiver.parts)
        if found is not None:
            return not _is_open(found)
        if not _CATALOGUE.match(waiver.policy):
            return False  # it may be of a check of one's own
        concerned = {each for each in self._policies if _is(each, waiver.policy)}
        if not concerned <= self._evaluated or not (concerned or is_glob(waiver.policy)):
            return False
        if self._left_out and (_is(_CLUSTER, waiver.host) or any(_is(host, waiver.host) for host in self._left_out)):
            return False
        return not any(
            policy in concerned and (host == _CLUSTER or _is(host, waiver.host)) for policy, host in self._unknown
        )


def _is_open(finding: Finding) -> bool:
    """Whether a finding leaves it open what holds: unknown, or without a subject because of another finding."""
    return finding.verdict is Verdict.ERROR or (
        finding.verdict is Verdict.NOT_APPLICABLE and finding.because is not None
    )
