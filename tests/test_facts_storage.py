"""ZFS pools, read from a real mirror in ten states, as JSON and as text."""

from __future__ import annotations

from pathlib import Path

import pytest

from sigsrv import data, examples, policy
from sigsrv.collect.evidence import Answer, Evidence, Failure
from sigsrv.errors import EvidenceError, FailureKind
from sigsrv.evaluate import load_checks
from sigsrv.facts.storage import StorageFacts, from_json, from_text

STATES = sorted((Path(__file__).parent / "evidence" / "zpool").iterdir())
POLICIES = policy.load()
CHECKS = load_checks(data.folder("checks"))


def test_there_are_ten_states_in_both_forms():
    """No recorded state was lost from the tests."""
    assert len(STATES) == 20


@pytest.mark.parametrize("path", STATES, ids=lambda path: path.name)
def test_each_state_has_the_verdict_of_its_name(path, monkeypatch):
    """POOL-004 judges every recorded state as its file is named, from JSON and from text."""
    verdict = path.name.split(".")[1]
    recorded = path.read_text(encoding="utf-8")
    made = examples.evidence_of

    def with_pool(content, host):
        found = made(content, host)
        refused = Answer("zpool status -j", 2, "", "invalid option 'j'")
        probes = {"zpool-json": Answer("zpool status -j", 0, recorded)}
        if path.suffix == ".txt":
            probes = {"zpool-json": refused, "zpool-text": Answer("zpool status", 0, recorded)}
        return Evidence(found.host, 0.0, 0.0, None, {**found.probes, **probes}, found.api)

    monkeypatch.setattr(examples, "evidence_of", with_pool)
    found = examples.findings(examples.document(), [POLICIES["POOL-004"]], CHECKS)

    assert {key: str(value.verdict) for key, value in found.items() if key.endswith("/nvme")} == {
        "POOL-004@sigsrv/nvme": verdict,
        "POOL-004@minisrv/nvme": verdict,
    }


@pytest.mark.parametrize(
    "path", [path for path in STATES if path.suffix == ".json" and "missing" not in path.name], ids=lambda p: p.name
)
def test_text_and_json_tell_the_same(path):
    """An older OpenZFS without -j gives the same states, devices and error counts, to the precision of its text."""
    exact = from_json(path.read_text())["tank"]
    rough = from_text(path.with_suffix(".txt").read_text())["tank"]

    assert (rough.state, rough.data_errors > 0, rough.resilvering) == (
        exact.state,
        exact.data_errors > 0,
        exact.resilvering,
    )
    assert [(v.name, v.state, v.errors > 0) for v in rough.vdevs] == [
        (v.name, v.state, v.errors > 0) for v in exact.vdevs
    ]


@pytest.mark.parametrize(
    "text", ["", "[]", "{}", "null", '{"pools": []}', '{"pools": {"a": {}}}', "cannot open 'tank': no such pool"]
)
def test_unreadable_json_is_an_error_not_a_host_without_pools(text):
    """What is no answer of zpool never reads as healthy, nor as not imported."""
    with pytest.raises(EvidenceError, match="zpool status"):
        from_json(text)


@pytest.mark.parametrize(
    "text", ["", "[]", "{}", "cannot open 'tank': no such pool", "  pool: tank\n state: ONLINE\n", "  pool: tank\n"]
)
def test_unreadable_text_is_an_error_not_a_host_without_pools(text):
    """A cut-off status is unknown, although its state says ONLINE."""
    with pytest.raises(EvidenceError, match="zpool status"):
        from_text(text)


def test_no_pool_imported_is_an_answer():
    """zpool's own word that there is no pool is believed."""
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
def test_refused_slow_missing_and_never_asked_are_told_apart(answer, kind):
    """None of them is an answer, and each says what it is."""
    facts = StorageFacts(Evidence("sigsrv", 0.0, probes={"zpool-json": answer} if answer else {}))

    with pytest.raises(EvidenceError) as caught:
        _ = facts.zpools

    assert caught.value.kind is kind


def test_rounded_counters_are_read():
    """zpool's text rounds (1.02K); what counts is that it is not zero."""
    path = Path(__file__).parent / "evidence" / "zpool" / "permanent-errors.fail.txt"
    pool = from_text(path.read_text())["tank"]

    assert pool.state == "ONLINE"
    assert [v.checksum_errors for v in pool.vdevs if v.name == "/tmp/zd/f1"] == [1044]
    assert pool.data_errors == 12
