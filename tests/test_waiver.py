"""Tests waivers: reading the file, matching findings, and the time at which a waiver ends."""

from __future__ import annotations

import dataclasses
import glob
import json
import re
from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from sigsrv.model import data, waiver
from sigsrv.model.errors import UsageError
from sigsrv.model.finding import Finding, Severity, Verdict, Waiver, WaiverState

POLICIES = ("INST-001", "NET-001", "POOL-001")
UNTIL = datetime(2026, 12, 31, 22, 59, 59, tzinfo=UTC)
AT = UNTIL.timestamp()
DAY = 86400
HEAD = "version: 1\nwaivers:\n"
ENTRY = """\
  - policy: INST-001
    host: sigsrv
    resource: default/nfs
    owner: Ada Ops
    reason: kernel NFS server
    until: 2026-12-31T23:59:59+01:00
    created: 2026-02-01T00:00:00Z
"""


def load(tmp_path, text, max_days=365):
    path = tmp_path / "waivers.yaml"
    path.write_text(text)
    return waiver.load(path, POLICIES, max_days)


def a_waiver(policy="INST-001", host="sigsrv", resource="default/nfs", until=UNTIL, **more) -> Waiver:
    given = {"owner": "Ada Ops", "reason": "NFS", "created": None, "source": "waivers.yaml:3"} | more
    return Waiver(policy, host, resource, until=until, **given)


def a_finding(
    verdict=Verdict.FAIL, policy="INST-001", host="sigsrv", resource="default/nfs", reason="", because=None
) -> Finding:
    return Finding(
        policy, "title", Severity.HIGH, host, resource, verdict, "expected", "observed", reason, because, "remedy"
    )


def apply_waivers(finding, *waivers, at=AT - DAY) -> Finding:
    (found,) = waiver.apply([finding], waivers, at)
    return found


def test_a_waiver_is_read_with_its_time_in_utc(tmp_path):
    """It has owner, finding, reason, end, and its place in the file."""
    (found,) = load(tmp_path, HEAD + ENTRY)

    assert found.parts == ("INST-001", "sigsrv", "default/nfs")
    assert (found.owner, found.reason, found.until) == ("Ada Ops", "kernel NFS server", UNTIL)
    assert found.created == datetime(2026, 2, 1, tzinfo=UTC)
    assert found.source == f"{tmp_path}/waivers.yaml:3"


def test_the_shipped_file_is_valid_and_waives_nothing():
    """The file in the checkout only has an example in comments."""
    path = data.folder("policies") / "waivers.yaml"

    assert waiver.load(path, POLICIES, 365) == ()
    assert path.read_text().startswith("# yaml-language-server: $schema=schema/waivers.schema.json\n")


def test_the_example_in_the_shipped_file_is_a_waiver(tmp_path):
    """The file loads after uncommenting the example."""
    lines = (data.folder("policies") / "waivers.yaml").read_text().splitlines()
    shown = [line[4:] for line in lines if line.startswith("#   ")]

    (found,) = load(tmp_path, "\n".join(["version: 1", *shown]) + "\n")

    assert found.parts == ("INST-001", "sigsrv", "default/nfs")


@pytest.mark.parametrize("text", ["version: 1\n", "version: 1\nwaivers:\n", "version: 1\nwaivers: []\n"])
def test_a_file_without_waivers_is_valid(tmp_path, text):
    """A list whose last entry was removed or commented out is valid."""
    assert load(tmp_path, text) == ()


def changed_entry(**more: str) -> str:
    """Return the entry with some values replaced, or removed if the new value is empty."""
    lines = []
    for line in ENTRY.splitlines():
        key = line.strip("- ").split(":")[0]
        if key not in more:
            lines.append(line)
        elif more[key]:
            lines.append(f"{line.split(':')[0]}: {more[key]}")
    return HEAD + "\n".join(lines) + "\n"


@pytest.mark.parametrize(
    ("text", "line", "message", "hint"),
    [
        (changed_entry(policy="INST-01"), 3, 'there is no policy "INST-01"', 'did you mean "INST-001"?'),
        (changed_entry(policy="inst-001"), 3, 'there is no policy "inst-001"', ""),
        (changed_entry(until="2026-12-31"), 8, '"2026-12-31" has no time zone', "2026-12-31T23:59:59Z for UTC, or"),
        (changed_entry(until="2026-12-31 18:00"), 8, "has no time zone", "2026-12-31T18:00:00+01:00"),
        (changed_entry(until='"2026-12-31T18:00:00"'), 8, "has no time zone", "2026-12-31T18:00:00Z for UTC"),
        (changed_entry(until="2026-02-31T00:00:00Z"), 8, "is not a time", "use RFC 3339"),
        (changed_entry(until="soon"), 8, '"soon" is not a time', "2026-12-31T23:59:59+01:00"),
        (changed_entry(until="0001-01-01T00:00:00+01:00"), 8, "is not a time", ""),
        (changed_entry(until="20261231"), 8, "20261231 is not of type string", ""),
        (changed_entry(until="2027-02-01T00:00:01Z"), 8, "366 days is too long: the maximum is 365", ""),
        (
            changed_entry(until="2026-01-31T00:00:00Z"),
            8,
            "the waiver would end before it starts (2026-02-01T00:00:00Z)",
            "",
        ),
        (changed_entry(created="yesterday"), 9, '"yesterday" is not a time', ""),
        (changed_entry(owner=""), 3, '"owner" is missing', ""),
        (changed_entry(owner='" "'), 6, "does not match", "name of the person who accepts the failure"),
        (changed_entry(owner="5"), 6, "5 is not of type string", ""),
        (changed_entry(reason='""'), 7, "does not match", "why the person accepts the failure"),
        (changed_entry(resource='""'), 5, "", "resource as reports show it"),
        (HEAD + ENTRY + "    ressource: x\n", 10, 'unknown key "ressource"', 'did you mean "resource"?'),
        (HEAD + ENTRY + "    until: 2026-12-31T23:59:59Z\n", 10, "duplicate key 'until'", ""),
        (HEAD + ENTRY + ENTRY, 10, "a second waiver of the same findings; the first is ", ""),
        ("version: 1\nwaiver: []\n", 2, 'unknown key "waiver"', 'did you mean "waivers"?'),
        ("version: 2\n", 1, "2 is not a version that this sigsrv reads: it reads version 1", "upgrade sigsrv"),
        ("waivers: []\n", 1, '"version" is missing', ""),
        ("version: 1\nwaivers: {}\n", 2, "{} is not of type array", ""),
        ("version: 1\nwaivers: [\n", 3, "not YAML", ""),
        ("", 1, "null is not of type object", ""),
    ],
)
def test_each_mistake_is_reported_with_file_and_line(tmp_path, text, line, message, hint):
    """The message says what is wrong, where, and what is allowed."""
    with pytest.raises(UsageError) as caught:
        load(tmp_path, text)

    assert caught.value.message.startswith(f"{tmp_path}/waivers.yaml:{line}: ")
    assert message in caught.value.message
    assert hint in caught.value.hint


@pytest.mark.parametrize(
    "until",
    ["2026-12-31T22:59:59Z", "2026-12-31t22:59:59z", "2026-12-31 17:59:59-05:00", '"2027-01-01T04:29:59.0+05:30"'],
)
def test_equal_times_in_different_zones_are_equal(tmp_path, until):
    """Every form that RFC 3339 allows, quoted or not, gives the same time."""
    assert load(tmp_path, changed_entry(until=until))[0].until == UNTIL


def test_the_limit_counts_from_created_and_the_site_can_shorten_it(tmp_path):
    """An end ``max_days`` after ``created`` is allowed. One second later is not."""
    assert load(tmp_path, changed_entry(until="2027-02-01T00:00:00Z"))
    assert load(tmp_path, changed_entry(until="2026-03-03T00:00:00Z"), max_days=30)
    with pytest.raises(UsageError, match="31 days is too long: the maximum is 30"):
        load(tmp_path, changed_entry(until="2026-03-03T00:00:01Z"), max_days=30)


def test_without_created_the_limit_counts_from_the_run(tmp_path):
    """A run more than ``max_days`` before the end refuses the same file, with file and line."""
    waivers = load(tmp_path, changed_entry(created=""))

    waiver.check_time(waivers, AT - 30 * DAY, 30)
    with pytest.raises(UsageError, match=r"waivers\.yaml:3: until: 31 days is too long: the maximum is 30"):
        waiver.check_time(waivers, AT - 30 * DAY - 1, 30)


def test_a_live_run_refuses_created_in_the_future(tmp_path):
    """A future date can't extend a waiver. Saved evidence may be older than its waivers."""
    waivers = load(tmp_path, HEAD + ENTRY)
    created = datetime(2026, 2, 1, tzinfo=UTC).timestamp()

    waiver.check_time(waivers, created - DAY, 365)
    with pytest.raises(UsageError, match="created: 2026-02-01T00:00:00Z is in the future"):
        waiver.check_time(waivers, created - DAY - 1, 365)
    waiver.check_time(waivers, created - 1000 * DAY, 365, live=False)


def test_a_user_s_own_check_can_be_waived(tmp_path):
    """Only pytest knows its id, so the id is not compared with the catalogue."""
    assert load(tmp_path, changed_entry(policy="test_clock.test_time_is_kept"))
    with pytest.raises(UsageError, match="there is no policy"):
        load(tmp_path, changed_entry(policy="INST.001"))


def test_the_file_is_the_option_or_next_to_the_site_file(tmp_path):
    """``--waivers``, else waivers.yaml in the folder of the site file, else no file."""
    site, beside, other = (tmp_path / name for name in ("site.yaml", "waivers.yaml", "other.yaml"))

    assert waiver.find(None, site) is None
    assert waiver.find(None, None) is None
    beside.write_text("")
    other.write_text("")
    assert waiver.find(None, site) == beside
    assert waiver.find(str(other), site) == other
    for missing in (tmp_path / "none.yaml", tmp_path, ""):
        with pytest.raises(UsageError, match="no such waiver file"):
            waiver.find(str(missing), site)


@pytest.mark.parametrize(
    ("parts", "applies"),
    [
        (("INST-001", "sigsrv", "default/nfs"), True),
        (("INST-*", "sig*", "default/*"), True),
        (("*", "*", "*"), True),
        (("INST-00?", "[rs]igsrv", "*/nfs"), True),
        (("INST-00", "sigsrv", "default/nfs"), False),
        (("INST-001", "sig", "default/nfs"), False),
        (("INST-001", "sigsrv", "nfs"), False),
        (("INST-001", "sigsrv", "default"), False),
        (("INST-001", "sigsrv", "default/nfs2"), False),
        (("INST-001", "SIGSRV", "default/nfs"), False),
        (("inst-*", "sigsrv", "default/nfs"), False),
        (("INST-001", "cluster", "default/nfs"), False),
        (("INST-001", "sigsrv*", "default%2Fnfs"), False),
    ],
)
def test_a_pattern_is_exact_or_a_glob_but_not_a_substring(parts, applies):
    """Each part must match the complete part of the finding, case-sensitively."""
    found = apply_waivers(a_finding(), a_waiver(*parts))

    assert (found.verdict is Verdict.WAIVED) is applies


def test_patterns_match_unquoted_names():
    """A resource with a space matches a pattern with a space; its id has %20."""
    finding = a_finding(resource="default/web 1")

    assert finding.id.endswith("/web%201")
    assert apply_waivers(finding, a_waiver(resource="default/web 1")).verdict is Verdict.WAIVED
    assert apply_waivers(finding, a_waiver(resource="default/web%201")).verdict is Verdict.FAIL


@settings(deadline=None)
@given(st.text(min_size=1), st.text(min_size=1))
def test_an_escaped_name_matches_only_itself(name, other):
    """The pattern that ``sigsrv waive`` writes matches only this resource."""
    mine = a_waiver(resource=glob.escape(name))

    assert waiver.matches(mine, "INST-001", "sigsrv", name)
    assert waiver.matches(mine, "INST-001", "sigsrv", other) is (other == name or other == glob.escape(name))


def test_a_waived_finding_keeps_the_observed_state():
    """Only the verdict changes, and the waiver is added."""
    before = a_finding(reason="as seen")

    after = apply_waivers(before, a_waiver())

    assert after == dataclasses.replace(before, verdict=Verdict.WAIVED, waiver=a_waiver())
    assert after.as_dict()["waiver"] == {
        "owner": "Ada Ops",
        "reason": "NFS",
        "until": "2026-12-31T22:59:59Z",
        "source": "waivers.yaml:3",
    }
    assert before.as_dict()["waiver"] is None


def test_an_expired_waiver_is_a_failure_again():
    """The waiver counts until the second before ``until``. From then on, the reason says which waiver ended when."""
    for before in (AT - 1, AT - 0.001):
        assert apply_waivers(a_finding(), a_waiver(), at=before).verdict is Verdict.WAIVED
    for after in (AT, AT + 1):
        found = apply_waivers(a_finding(reason="as seen"), a_waiver(), at=after)
        assert (found.verdict, found.waiver) == (Verdict.FAIL, None)
        assert found.reason == "as seen; the waiver by Ada Ops (waivers.yaml:3) expired on 2026-12-31 22:59:59 UTC"


def test_the_waiver_with_the_latest_end_counts():
    """An expired waiver does not affect one that is in force."""
    wide = a_waiver(resource="*", until=UNTIL - timedelta(days=60), owner="Bo")

    assert apply_waivers(a_finding(), wide, a_waiver()).waiver == a_waiver()
    assert apply_waivers(a_finding(), a_waiver(), wide).waiver == a_waiver()
    assert "by Ada Ops" in apply_waivers(a_finding(), wide, a_waiver(), at=AT).reason


VERDICTS = st.sampled_from(list(Verdict))
WORDS = st.sampled_from(["a", "b", "a/b", "INST-001", "NET-001"])
FINDINGS = st.lists(
    st.builds(a_finding, VERDICTS, WORDS, WORDS, WORDS, because=st.sampled_from([None, "NET-001@a/b"])),
    unique_by=lambda finding: finding.id,
)
GLOBS = st.one_of(WORDS, st.sampled_from(["*", "a*", "?", "[ab]", "*-001"]))
WAIVERS = st.lists(st.builds(a_waiver, GLOBS, GLOBS, GLOBS, st.sampled_from([UNTIL, UNTIL + timedelta(days=9)])))
TIMES = st.sampled_from([AT - DAY, AT - 1, AT, AT + DAY, AT + 9 * DAY, AT + 99 * DAY])


@settings(deadline=None)
@given(FINDINGS, WAIVERS, TIMES)
def test_waivers_change_only_failures(findings, waivers, at):
    """An error always stays an error. A failure becomes ``waived`` or stays a failure."""
    for before, after in zip(findings, waiver.apply(findings, waivers, at), strict=True):
        if before.verdict is not Verdict.FAIL:
            assert after == before
        else:
            assert after.verdict in (Verdict.FAIL, Verdict.WAIVED)
            assert (after.waiver is not None) is (after.verdict is Verdict.WAIVED)
            assert (after.id, after.observed, after.expected) == (before.id, before.observed, before.expected)


@settings(deadline=None)
@given(FINDINGS, WAIVERS, TIMES, TIMES)
def test_an_expired_waiver_never_counts_again(findings, waivers, one, other):
    """Later evidence never has more waived findings than earlier evidence. Equal evidence gives equal verdicts."""
    early, late = sorted((one, other))
    was = {f.id for f in waiver.apply(findings, waivers, early) if f.verdict is Verdict.WAIVED}
    then = {f.id for f in waiver.apply(findings, waivers, late) if f.verdict is Verdict.WAIVED}

    assert then <= was
    assert waiver.apply(findings, waivers, one) == waiver.apply(findings, waivers, one)


# The states of waivers that a run reports.

PASSED = a_finding(Verdict.PASS)


def state(mine, *findings, at=AT - 30 * DAY, policies=("INST-001", "NET-001"), left_out=()) -> WaiverState:
    found = waiver.apply(findings, [mine], at)
    (use,) = waiver.review([mine], found, at, policies=policies, left_out=left_out)
    return use.state


def test_a_needed_waiver_is_active_then_expiring_then_expired():
    """A run warns from 14 days before the end."""
    states = {days: state(a_waiver(), a_finding(), at=AT - days * DAY) for days in (30, 14.001, 14, 1, 0, -1)}

    assert list(states.values()) == ["active", "active", "expiring", "expiring", "expired", "expired"]


def test_a_use_names_the_failures_that_it_matches():
    """This includes findings that fail again."""
    mine = a_waiver(resource="*")
    findings = [a_finding(), a_finding(resource="b"), a_finding(Verdict.PASS, resource="c"), a_finding(host="minisrv")]

    for at in (AT - DAY, AT):
        (use,) = waiver.review([mine], waiver.apply(findings, [mine], at), at, policies=("INST-001",))
        assert use.findings == ("INST-001@sigsrv/default/nfs", "INST-001@sigsrv/b")
        assert use.as_dict()["findings"] == list(use.findings)


@pytest.mark.parametrize("at", [AT - 30 * DAY, AT - DAY, AT + DAY])
def test_a_waiver_that_is_not_needed_is_stale_even_after_its_end(at):
    """Its findings pass, no longer exist, or are exempt. The user can remove the waiver."""
    assert state(a_waiver(), PASSED, at=at) is WaiverState.STALE
    assert state(a_waiver(), a_finding(Verdict.NOT_APPLICABLE, reason="exempt"), at=at) is WaiverState.STALE
    assert state(a_waiver(resource="default/gone"), PASSED, at=at) is WaiverState.STALE
    assert state(a_waiver(host="nowhere"), PASSED, at=at) is WaiverState.STALE
    assert state(a_waiver(resource="default/*"), PASSED, at=at) is WaiverState.STALE


UNKNOWN = a_finding(Verdict.ERROR, resource="sigsrv")
DEPENDENT = a_finding(Verdict.NOT_APPLICABLE, because="NET-001@sigsrv/br0")


@pytest.mark.parametrize(
    ("mine", "findings", "more"),
    [
        (a_waiver(), [a_finding(Verdict.ERROR)], {}),
        (a_waiver(), [UNKNOWN], {}),
        (a_waiver(resource="*"), [PASSED, UNKNOWN], {}),
        (a_waiver(host="*"), [PASSED, a_finding(Verdict.ERROR, host="minisrv", resource="minisrv")], {}),
        (a_waiver(), [a_finding(Verdict.ERROR, host="cluster", resource="cluster")], {}),
        (a_waiver(), [DEPENDENT], {}),
        (a_waiver(resource="*"), [DEPENDENT], {}),
        (a_waiver(host="minisrv"), [PASSED], {"left_out": ["minisrv"]}),
        (a_waiver(host="*"), [PASSED], {"left_out": ["minisrv"]}),
        (a_waiver(host="cluster"), [PASSED], {"left_out": ["minisrv"]}),
        (a_waiver(policy="NET-001"), [PASSED], {}),
        (a_waiver(policy="[IN]*-001"), [PASSED], {}),
        (a_waiver(policy="*-*"), [PASSED, a_finding(Verdict.PASS, "NET-001")], {}),
        (a_waiver(policy="*"), [PASSED, a_finding(Verdict.PASS, "NET-001")], {}),
        (a_waiver(policy="test_a.test_b"), [PASSED], {}),
        (a_waiver(policy="HOST-009"), [PASSED], {}),
    ],
)
def test_a_waiver_with_an_unknown_finding_is_not_stale(mine, findings, more):
    """It may be needed: for an error, a host or policy that was not judged, a dependent finding, or a user's own check."""
    assert state(mine, *findings, **more) is WaiverState.ACTIVE
    assert state(mine, *findings, at=AT, **more) is WaiverState.EXPIRED


def test_an_unrelated_error_does_not_keep_a_waiver():
    """The finding that the waiver names passed. Errors of other findings, hosts or policies don't matter."""
    assert state(a_waiver(), PASSED, UNKNOWN) is WaiverState.STALE
    assert state(a_waiver(), PASSED, left_out=["minisrv"]) is WaiverState.STALE
    away = a_finding(Verdict.ERROR, host="minisrv", resource="minisrv")
    assert state(a_waiver(resource="*"), PASSED, away) is WaiverState.STALE
    assert state(a_waiver(resource="*"), PASSED, a_finding(Verdict.ERROR, "NET-001")) is WaiverState.STALE


def test_a_user_s_own_check_that_passed_needs_no_waiver():
    """pytest ran the check, so it was judged."""
    own = "test_clock.test_time_is_kept"

    assert state(a_waiver(policy=own), PASSED, a_finding(Verdict.PASS, own)) is WaiverState.STALE


@settings(deadline=None)
@given(FINDINGS, WAIVERS, TIMES)
def test_a_waiver_of_a_failure_is_never_stale(findings, waivers, at):
    """The waiver of a finding that still fails, waived or not, is never "no longer needed"."""
    judged = waiver.apply(findings, waivers, at)
    for use in waiver.review(waivers, judged, at, policies=("INST-001", "NET-001")):
        assert (use.state is WaiverState.STALE) <= (not use.findings)
        mine = [f for f in findings if waiver.matches(use.waiver, f.policy, f.host, f.resource)]
        if any(f.verdict in (Verdict.FAIL, Verdict.ERROR) for f in mine):
            assert use.state is not WaiverState.STALE


@pytest.mark.parametrize(
    ("until", "read"),
    [
        ("2026-12-31T23:59:60Z", "2027-01-01T00:00:00+00:00"),
        ("2026-12-31t23:59:60.5z", "2027-01-01T00:00:00+00:00"),
        ("2027-01-01T00:59:60+01:00", "2027-01-01T00:00:00+00:00"),
        ("2026-12-31T22:59:60Z", None),
        ("2026-12-31T23:59:60", None),
        ("2026-12-31T23:59:61Z", None),
        ("9999-12-31T23:59:60Z", None),
    ],
)
def test_a_leap_second_is_the_second_after_59(tmp_path, until, read):
    """RFC 3339 allows 23:59:60 in UTC. The waiver ends one second later than with :59. No other minute has such a second."""
    path = tmp_path / "waivers.yaml"
    entry = {"policy": "INST-001", "host": "a", "resource": "b", "owner": "o", "reason": "r", "until": until}
    path.write_text(json.dumps({"version": 1, "waivers": [entry]}))

    if read is None:
        with pytest.raises(UsageError, match=re.escape(f"{path}:1: waivers[0].until: ")):
            waiver.load(path, POLICIES, 365)
    else:
        assert waiver.load(path, POLICIES, 365)[0].until.isoformat() == read
