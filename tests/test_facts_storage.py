"""Tests the facts about ZFS pools with a real mirror in ten states, as JSON and as text."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from sigsrv.authoring import document
from sigsrv.collect.evidence import Answer, Evidence, Failure
from sigsrv.facts.storage import StorageFacts, ZPool, ZpoolUsage, creations, from_json, from_text, usages
from sigsrv.judge.checks import load_checks
from sigsrv.model import data, policy
from sigsrv.model.errors import EvidenceError, FailureKind

COLLECTED = 1795439500.0  # 2026-11-23T13:11:40Z, just after the last of the recorded states
SCRUBBED = {
    "after-resilver": "fail",
    "checksum-errors-repaired": "pass",
    "degraded-offline-member": "pass",
    "faulted-member": "fail",
    "missing": "error",
    "never-scrubbed": "fail",
    "permanent-errors": "not-applicable",  # its scrub found the data errors that POOL-004 reports
    "replaced": "fail",
    "scrub-in-progress": "pass",
    "scrubbed": "pass",
}
STATES = sorted((Path(__file__).parent / "evidence" / "zpool").iterdir())
POLICIES = policy.load()
CHECKS = load_checks(data.folder("checks"))


def test_there_are_ten_states_in_both_forms():
    """No recorded state was lost from the tests."""
    assert len(STATES) == 20


def judged(policy_id: str, path: Path, monkeypatch: pytest.MonkeyPatch, collected: float = COLLECTED) -> set[str]:
    """Return the verdicts of a policy for the pool nvme of both hosts, with a recorded output as the state of their zpool."""
    recorded = path.read_text(encoding="utf-8")
    made = document.evidence_of

    def with_pool(content, host):
        found = made(content, host)
        refused = Answer("zpool status -j", 2, "", "invalid option 'j'")
        probes = {"zpool-json": Answer("zpool status -j", 0, recorded)}
        if path.suffix == ".txt":
            probes = {"zpool-json": refused, "zpool-text": Answer("zpool status", 0, recorded)}
        return Evidence(found.host, collected, 0.0, None, {**found.probes, **probes}, found.api)

    monkeypatch.setattr(document, "evidence_of", with_pool)
    judged_together = [POLICIES[each] for each in ("POOL-004", "POOL-005")]  # each leaves some faults to the other
    found = document.findings(document.document(), judged_together, CHECKS)
    verdicts = {
        key: str(value.verdict)
        for key, value in found.items()
        if key.startswith(f"{policy_id}@") and key.endswith("/nvme")
    }
    assert set(verdicts) == {f"{policy_id}@sigsrv/nvme", f"{policy_id}@minisrv/nvme"}
    return set(verdicts.values())


@pytest.mark.parametrize("path", STATES, ids=lambda path: path.name)
def test_each_state_has_the_verdict_in_its_file_name(path, monkeypatch):
    """POOL-004 gives this verdict for each recorded state, from JSON and from text."""
    assert judged("POOL-004", path, monkeypatch) == {path.name.split(".")[1]}


@pytest.mark.parametrize("path", STATES, ids=lambda path: path.name)
def test_each_state_has_the_expected_scrub_verdict(path, monkeypatch):
    """POOL-005 gives the same verdict from JSON and from text. A resilver is not a scrub. An old pool without a scrub fails."""
    assert judged("POOL-005", path, monkeypatch) == {SCRUBBED[path.name.split(".")[0]]}


@pytest.mark.parametrize(
    ("days", "from_exact", "from_local"),
    [(34.0, "pass", "pass"), (34.9, "pass", "error"), (35.1, "fail", "error"), (36.0, "fail", "fail")],
)
def test_a_date_without_its_zone_is_accurate_to_half_a_day(days, from_exact, from_local, monkeypatch):
    """Text dates are local times of an unknown zone. If the zone decides, the verdict is error. JSON has the exact time."""
    exact = next(path for path in STATES if path.name == "scrubbed.pass.json")
    ended = from_json(exact.read_text())["tank"].scan.ended

    assert judged("POOL-005", exact, monkeypatch, ended + days * 86400) == {from_exact}
    assert judged("POOL-005", exact.with_suffix(".txt"), monkeypatch, ended + days * 86400) == {from_local}


def scan_of(pool: ZPool) -> tuple[object, ...] | None:
    return pool.scan and (pool.scan.function, pool.scan.state, pool.scan.errors, pool.scan.ended)


@pytest.mark.parametrize(
    "path", [path for path in STATES if path.suffix == ".json" and "missing" not in path.name], ids=lambda p: p.name
)
def test_text_and_json_give_the_same_facts(path):
    """An older OpenZFS without -j gives the same states, devices and scans. Its text only shows whether there are errors."""
    exact = from_json(path.read_text())["tank"]
    rough = from_text(path.with_suffix(".txt").read_text())["tank"]

    assert (rough.state, rough.data_errors > 0, rough.resilvering) == (
        exact.state,
        exact.data_errors > 0,
        exact.resilvering,
    )
    assert scan_of(rough) == scan_of(exact)  # the recorded host's zone is UTC
    assert [(v.name, v.state, v.errors > 0) for v in rough.vdevs] == [
        (v.name, v.state, v.errors > 0) for v in exact.vdevs
    ]


@pytest.mark.parametrize(
    "text", ["", "[]", "{}", "null", '{"pools": []}', '{"pools": {"a": {}}}', "cannot open 'tank': no such pool"]
)
def test_unreadable_json_is_an_error_not_a_host_without_pools(text):
    """Output that zpool did not print never reads as a healthy pool or as a pool that is not imported."""
    with pytest.raises(EvidenceError, match="zpool status"):
        from_json(text)


@pytest.mark.parametrize("place", [["tank"], ["tank", "vdevs", "mirror-0"]])
def test_a_pool_without_the_devices_of_a_group_is_an_error(place):
    """A faulted device would be lost with them, while the group above is only degraded."""
    path = next(path for path in STATES if path.name == "scrubbed.pass.json")
    content = json.loads(path.read_text())
    group = content["pools"]["tank"]["vdevs"]
    for key in place:
        group = group[key]
    del group["vdevs"]

    with pytest.raises(EvidenceError, match="zpool status"):
        from_json(json.dumps(content))


@pytest.mark.parametrize(
    "text", ["", "[]", "{}", "cannot open 'tank': no such pool", "  pool: tank\n state: ONLINE\n", "  pool: tank\n"]
)
def test_unreadable_text_is_an_error_not_a_host_without_pools(text):
    """A status that is cut off is unknown, even if its state is ONLINE."""
    with pytest.raises(EvidenceError, match="zpool status"):
        from_text(text)


def test_no_imported_pool_is_a_valid_answer():
    """The message of zpool that there are no pools counts."""
    assert from_text("no pools available\n") == {}
    assert from_json('{"pools": {}}') == {}


@pytest.mark.parametrize(
    ("answer", "kind"),
    [
        (Answer("zpool", 1, "", "Permission denied"), FailureKind.DENIED),
        (Answer("zpool", 124, "", "", Failure(FailureKind.TIMEOUT, "no end in 8 s")), FailureKind.TIMEOUT),
        (Answer("zpool", 127, "", "", Failure(FailureKind.MISSING, "zpool is not on the host")), FailureKind.MISSING),
        (None, FailureKind.ABSENT),
    ],
)
def test_a_failed_zpool_status_says_why(answer, kind):
    """Denied, timed out, missing and absent are different kinds, and none of them is an answer."""
    facts = StorageFacts(Evidence("sigsrv", 0.0, probes={"zpool-json": answer} if answer else {}))

    with pytest.raises(EvidenceError) as caught:
        _ = facts.zpools

    assert caught.value.kind is kind


def test_rounded_counters_are_read():
    """zpool rounds the counters in its text (1.02K). Checks only need to know that a counter is not zero."""
    path = Path(__file__).parent / "evidence" / "zpool" / "permanent-errors.fail.txt"
    pool = from_text(path.read_text())["tank"]

    assert pool.state == "ONLINE"
    assert [v.checksum_errors for v in pool.vdevs if v.name == "/tmp/zd/f1"] == [1044]
    assert pool.data_errors == 12


@pytest.mark.parametrize(
    ("line", "expected"),
    [
        ("none requested", None),
        ("scrub repaired 0 in 0h0m with 0 errors on Sun Nov  8 00:24:01 2026", ("SCRUB", "FINISHED", 0, 1794097441.0)),
        (
            "scrub repaired 0B in 1 days 02:10:11 with 3 errors on Mon Nov 23 13:10:02 2026",
            ("SCRUB", "FINISHED", 3, 1795439402.0),
        ),
        ("scrub canceled on Mon Nov 23 13:10:02 2026", ("SCRUB", "CANCELED", 0, 1795439402.0)),
        ("scrub paused since Mon Nov 23 13:10:02 2026", ("SCRUB", "PAUSED", 0, None)),
        ("resilver in progress since Mon Nov 23 13:10:02 2026", ("RESILVER", "SCANNING", 0, None)),
        ("resilver (mirror-0) in progress since Mon Nov 23 13:10:02 2026", ("RESILVER", "SCANNING", 0, None)),
        (
            "resilvered (draid1:4d:8c:1s-0) 900M in 00:00:09 with 2 errors on Mon Nov 23 13:10:02 2026",
            ("RESILVER", "FINISHED", 2, 1795439402.0),
        ),
        ("resilver (mirror-0) canceled on Mon Nov 23 13:10:02 2026", None),
    ],
)
def test_the_scan_line_is_read(line, expected):
    """Covers the texts of zpool status in current and older releases."""
    text = _with_scan(f"  scan: {line}\n")

    assert scan_of(from_text(text)["tank"]) == expected


@pytest.mark.parametrize(
    "line",
    [
        "",
        "scrub",
        "scrub repaired 0B in 00:00:00 with 0 errors",
        "scrub repaired 0B in 00:00:00 with no errors on Mon Nov 23 13:10:02 2026",
        "scrub repaired 0B in 00:00:00 with 0 errors on yesterday",
        "scrub repaired 0B in 00:00:00 with 0 errors on Mon Foo 23 13:10:02 2026",
        "trim in progress since Mon Nov 23 13:10:02 2026",
        "resilver (mirror-0) suspended since Mon Nov 23 13:10:02 2026",
        "scrub canceled on Mon Nov 23 13:10:02 2026\n  scan: resilver in progress since Mon Nov 23 13:10:02 2026",
    ],
)
def test_an_unknown_scan_line_is_an_error(line):
    """It never reads as no scan, and never as a scrub."""
    with pytest.raises(EvidenceError, match="zpool status"):
        from_text(_with_scan(f"  scan: {line}\n"))


def _with_scan(line: str) -> str:
    path = next(path for path in STATES if path.name == "scrubbed.pass.txt")
    before, _, after = path.read_text().partition("  scan: ")
    return before + line + after.partition("\n")[2]


SCRUB = {"function": "SCRUB", "state": "FINISHED", "errors": 0, "start_time": 1, "end_time": 1795439402}
SCRUB_LINE = "scrub repaired 0B in 00:00:09 with 0 errors on Mon Nov 23 13:10:02 2026"


def rebuild(state: str, ended: int = 0, errors: int = 0) -> dict[str, object]:
    return {"name": "mirror-0", "state": state, "start_time": 1, "end_time": ended, "errors": errors}


@pytest.mark.parametrize(
    ("other", "rows", "expected"),
    [
        ({}, [rebuild("ACTIVE")], ("RESILVER", "SCANNING", 0, None)),
        ({}, [rebuild("CANCELED", 5)], None),
        ({}, [rebuild("CANCELED", 9), rebuild("COMPLETE", 5, 2)], ("RESILVER", "FINISHED", 2, 5)),
        (SCRUB, [rebuild("ACTIVE")], ("RESILVER", "SCANNING", 0, None)),
        (SCRUB, [rebuild("COMPLETE", 5), rebuild("ACTIVE")], ("RESILVER", "SCANNING", 0, None)),
        (SCRUB, [rebuild("COMPLETE", 1795439403)], ("RESILVER", "FINISHED", 0, 1795439403)),
        (SCRUB, [rebuild("COMPLETE", 1795439401)], ("SCRUB", "FINISHED", 0, 1795439402)),
        (SCRUB, [rebuild("CANCELED", 1795439499)], ("SCRUB", "FINISHED", 0, 1795439402)),
        (
            {**SCRUB, "state": "SCANNING", "end_time": 0},
            [rebuild("COMPLETE", 1795439401)],
            ("SCRUB", "SCANNING", 0, None),
        ),
        ({**SCRUB, "function": "NONE", "state": "NONE"}, [rebuild("ACTIVE")], ("RESILVER", "SCANNING", 0, None)),
    ],
)
def test_a_sequential_resilver_is_a_resilver(other, rows, expected):
    """zpool attach -s, zpool replace -s and dRAID rebuild a device. The last scan is the one that runs, else the one that ended last."""
    stats = {**other, "rebuild_stats": {f"mirror-{number}": row for number, row in enumerate(rows)}}
    pool = from_json(_with_stats(stats))["tank"]

    assert scan_of(pool) == expected
    assert pool.resilvering == any(row["state"] == "ACTIVE" for row in rows)


@pytest.mark.parametrize(
    ("lines", "expected", "runs"),
    [
        ([SCRUB_LINE, "resilver (mirror-0) in progress since Mon Nov 23 13:11:02 2026"], "RESILVER", True),
        (
            [SCRUB_LINE, "resilvered (mirror-0) 9M in 00:00:09 with 0 errors on Mon Nov 23 13:11:02 2026"],
            "RESILVER",
            False,
        ),
        (
            [SCRUB_LINE, "resilvered (mirror-0) 9M in 00:00:09 with 0 errors on Mon Nov 23 13:09:02 2026"],
            "SCRUB",
            False,
        ),
        (
            [
                "resilvered (draid1:4d:8c:1s-0) 9M in 00:00:09 with 0 errors on Mon Nov 23 13:09:02 2026",
                "resilver (draid1:4d:8c:1s-1) in progress since Mon Nov 23 13:11:02 2026",
            ],
            "RESILVER",
            True,
        ),
    ],
)
def test_text_has_a_line_for_each_sequential_resilver(lines, expected, runs):
    """zpool status shows the last scrub first, then one line for each device that was rebuilt."""
    pool = from_text(_with_scan("".join(f"  scan: {line}\n" for line in lines)))["tank"]

    assert (pool.scan.function, pool.resilvering) == (expected, runs)


@pytest.mark.parametrize(
    ("state", "expected"),
    [("active", ("RESILVER", "SCANNING", 0, None)), ("complete", ("RESILVER", "FINISHED", 0, 1796024161.0))],
)
def test_recorded_sequential_resilver_is_the_last_scan(recorded, state, expected):
    """zpool attach -s on OpenZFS 2.3.9, an hour after a scrub: while it ran, and after its end."""
    for read, kind in ((from_json, "json"), (from_text, "txt")):
        pool = read(recorded(f"zpool-rebuild/{state}.{kind}"))["hdd"]

        assert scan_of(pool) == expected
        assert pool.resilvering == (state == "active")


@pytest.mark.parametrize(
    "stats",
    [
        {"rebuild_stats": {}},
        {"rebuild_stats": []},
        {"rebuild_stats": {"mirror-0": []}},
        {"rebuild_stats": {"mirror-0": {**rebuild("ACTIVE"), "state": "REBUILDING"}}},
        {"rebuild_stats": {"mirror-0": {**rebuild("ACTIVE"), "state": ["ACTIVE"]}}},
        {"rebuild_stats": {"mirror-0": rebuild("COMPLETE")}},
        {**SCRUB, "rebuild_stats": None},
        {**SCRUB, "rebuild_stats": {"mirror-0": {"state": "ACTIVE"}}},
        {**SCRUB, "function": "REBUILD"},
        {**SCRUB, "state": "RESILVERING"},
    ],
    ids=repr,
)
def test_an_unknown_word_about_a_scan_is_an_error(stats):
    """A newer OpenZFS may have another word for a resilver that runs, so none is read as "does not resilver"."""
    with pytest.raises(EvidenceError, match="zpool status -j"):
        from_json(_with_stats(stats))


@pytest.mark.parametrize(
    "stats",
    [
        None,
        [],
        {},
        {"function": "SCRUB"},
        {"function": "SCRUB", "state": "FINISHED", "end_time": 5},
        {"function": "SCRUB", "state": "FINISHED", "errors": 0},
        {"function": "SCRUB", "state": "FINISHED", "errors": 0, "end_time": 0},
        {"function": "SCRUB", "state": "FINISHED", "errors": 0, "end_time": "Mon Nov 23"},
        {"function": "", "state": "FINISHED", "errors": 0, "end_time": 5},
    ],
    ids=repr,
)
def test_malformed_scan_stats_are_an_error(stats):
    """A scan without its end or its number of errors is unknown, not a scan without errors."""
    with pytest.raises(EvidenceError, match="zpool status -j"):
        from_json(_with_stats(stats))


def _with_stats(stats: object) -> str:
    path = next(path for path in STATES if path.name == "scrubbed.pass.json")
    content = json.loads(path.read_text())
    content["pools"]["tank"]["scan_stats"] = stats
    return json.dumps(content)


def test_capacity_and_fragmentation_of_each_pool_are_read(recorded):
    """Both are in percent, and None if zpool does not know them."""
    assert usages(recorded("zpool-list/sigsrv.txt")) == {
        "hdd": ZpoolUsage(0, 2),
        "nvme": ZpoolUsage(0, 2),
    }
    assert usages(recorded("zpool-list/degraded-offline-member.list")) == {"tank": ZpoolUsage(50, 34)}
    assert usages(recorded("zpool-list/permanent-errors.list"))["tank"].fragmentation == 34
    assert usages("t\t1\t1\t0\t-\t-\t-\t-\t1.00\tUNAVAIL\t-\n") == {"t": ZpoolUsage(None, None)}


@pytest.mark.parametrize(
    "text",
    [
        "",
        "\n",
        "[]",
        "{}",
        "no pools available",
        "tank\t117440512\t222720",
        "tank\t117440512\t58808832\t58631680\t-\t33\t50\t1.00\tONLINE\t-",  # OpenZFS 0.7: no column ckpoint
        "tank\t1\t1\t0\t-\t-\t9%\t0\t1.00\tONLINE\t-",
        "tank\t1\t1\t0\t-\t-\t9\t\t1.00\tONLINE\t-",
        "\t1\t1\t0\t-\t-\t9\t0\t1.00\tONLINE\t-",
        "tank\t1\t1\t0\t-\t-\t9\t²\t1.00\tONLINE\t-",
    ],
)
def test_an_unreadable_list_of_pools_is_an_error(text):
    """Output that is not a list of zpool never reads as empty pools."""
    with pytest.raises(EvidenceError, match="zpool list"):
        usages(text)


@pytest.mark.parametrize(
    ("answer", "kind"),
    [
        (Answer("zpool", 1, "", "cannot open 'tank': no such pool"), FailureKind.GARBLED),
        (Answer("zpool", 1, "", "Permission denied"), FailureKind.DENIED),
        (Answer("zpool", 124, "", "", Failure(FailureKind.TIMEOUT, "no end in 8 s")), FailureKind.TIMEOUT),
        (Answer("zpool", 127, "", "", Failure(FailureKind.MISSING, "zpool is not on the host")), FailureKind.MISSING),
        (Answer("zpool", 0, "other\t1\t1\t0\t-\t-\t9\t0\t1.00\tONLINE\t-\n"), FailureKind.GARBLED),
        (None, FailureKind.ABSENT),
    ],
)
def test_a_failed_list_of_pools_says_why(answer, kind):
    """Garbled, denied, timed out, missing and absent are different kinds. A pool that is not in the list is unknown, not empty."""
    facts = StorageFacts(Evidence("sigsrv", 0.0, probes={"zpool-list": answer} if answer else {}))

    with pytest.raises(EvidenceError) as caught:
        facts.usage("tank")

    assert caught.value.kind is kind


def test_the_creation_time_of_each_pool_is_read():
    """The list has two columns, separated by a tab. A dataset below the root dataset is not a pool."""
    assert creations("hdd\t1795430000\nnvme\t1795430100\nnvme/x\t1\n") == {"hdd": 1795430000, "nvme": 1795430100}


@pytest.mark.parametrize("text", ["", "[]", "{}", "nvme", "nvme\tMon Nov 23", "nvme\t1\t2", "nvme/x\t1\n"])
def test_an_unreadable_creation_time_is_an_error(text):
    """The age of a pool is never guessed."""
    with pytest.raises(EvidenceError, match="zfs list"):
        creations(text)
