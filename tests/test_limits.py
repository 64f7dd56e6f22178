"""Tests the limits of processor time: whatever a host makes slow costs that answer alone, and no other host."""

from __future__ import annotations

import re
import signal
import threading
import time
from collections.abc import Callable, Mapping
from typing import Any

import pytest

from sigsrv.authoring import document
from sigsrv.facts import clusters, instance_rows, limits, machine
from sigsrv.facts.hosts import HostFacts
from sigsrv.facts.instance_rows import InstanceRow
from sigsrv.facts.limits import TooSlowError, charged, watching
from sigsrv.facts.parsing import parsing
from sigsrv.judge import accounting, catalogue
from sigsrv.judge.evaluate import evaluate
from sigsrv.model.errors import EvidenceError, FailureKind
from sigsrv.model.finding import Finding, Verdict

HANG_S = 20.0  # a test that takes longer has not ended what hangs


@pytest.fixture(autouse=True)
def short(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(limits, "ANSWER_S", 1.0)


@pytest.fixture(scope="module")
def policies() -> catalogue.Catalogue:
    return catalogue.load()


def busy() -> None:
    began = time.process_time()
    while time.process_time() - began < HANG_S:
        pass


def hang(*_: Any) -> Any:
    """Take far more time than there is, as a loop over all pairs does. What would end it is no part of it."""
    busy()
    raise AssertionError("nobody ended it")


def hang_in_a_pattern(*_: Any) -> Any:
    return re.fullmatch("(a+)+b", "a" * 40)


def judged(found: catalogue.Catalogue) -> Mapping[str, Finding]:
    findings = evaluate(found.policies.values(), found.checks, *document.facts_of(document.document()))
    return {finding.id: finding for finding in findings}


def differing(
    found: catalogue.Catalogue, monkeypatch: pytest.MonkeyPatch, slow: Callable[[], None]
) -> dict[str, Finding]:
    """Return the findings that differ if something is slow."""
    before = judged(found)
    slow()
    after = judged(found)
    assert {before[key].verdict for key in before.keys() - after.keys()} <= {Verdict.NOT_APPLICABLE}
    return {key: each for key, each in after.items() if key not in before or each.verdict != before[key].verdict}


@pytest.mark.parametrize("read", [hang, hang_in_a_pattern])
def test_an_answer_that_takes_too_long_to_read_is_an_error_of_that_answer_on_that_host(read, policies, monkeypatch):
    whole = machine.memory

    def slow_on_one_host(text: str, host: str = "") -> machine.Memory:
        with parsing("/proc/meminfo", host):
            found: machine.Memory = read() if host == "sigsrv" else whole(text, host)
        return found

    changed = differing(policies, monkeypatch, lambda: monkeypatch.setattr(machine, "memory", slow_on_one_host))

    assert changed.keys() == {"HOST-005@sigsrv/sigsrv"}
    (error,) = changed.values()
    assert error.verdict is Verdict.ERROR
    assert "sigsrv: reading the answer to /proc/meminfo took more than 1 s of processor time" in error.reason


def test_a_later_fact_of_a_slow_answer_fails_at_once():
    with watching():
        with pytest.raises(EvidenceError, match="reading the answer to df") as caught, parsing("df", "sigsrv"):
            hang()
        began = time.process_time()
        with pytest.raises(EvidenceError, match="reading the answer to df"), parsing("df", "sigsrv"):
            hang()
        with parsing("df", "minisrv"), parsing("ss", "sigsrv"):
            pass

    assert caught.value.kind is FailureKind.TOO_LARGE
    assert caught.value.host == "sigsrv"
    assert time.process_time() - began < 0.1


def test_a_host_has_a_limit_for_all_its_answers_together(monkeypatch):
    """Each of sixty answers may take nearly the longest time: the scan would not end for long."""
    monkeypatch.setattr(limits, "HOST_S", 1.5)
    with watching():
        for what in ("a", "b"):
            with pytest.raises(EvidenceError), parsing(what, "sigsrv"):
                hang()
        with (
            pytest.raises(EvidenceError, match="what sigsrv answered took more than 2 s"),
            parsing("c", "sigsrv"),
        ):
            pass
        with parsing("c", "minisrv"):
            pass


def test_a_slow_check_is_an_error_of_its_policy_on_that_host(policies):
    check = policies.checks["HOST-002"]

    def slow(facts: HostFacts, site: Any, require: Any) -> None:
        if facts.name == "sigsrv":
            hang()
        check(facts, site, require)

    checks = {**policies.checks, "HOST-002": slow}
    slowed = (
        catalogue.Catalogue(policies.policies, checks)
        if False
        else policies.__class__(**{**vars(policies), "checks": checks})
    )
    before, after = judged(policies), judged(slowed)

    changed = {key for key, each in after.items() if each.verdict != before[key].verdict}
    assert changed == {"HOST-002@sigsrv/sigsrv"}
    assert "sigsrv: judging HOST-002 took more than" in after["HOST-002@sigsrv/sigsrv"].reason


def test_a_slow_join_of_hosts_is_computed_once(policies, monkeypatch):
    """Every policy on instances needs it. Each of them would take the longest time again."""
    calls = []
    monkeypatch.setattr(clusters, "_is_away", lambda _: calls.append("join") or hang())

    found = judged(policies)

    assert calls == ["join"]
    assert found["INST-001@cluster/cluster"].verdict is Verdict.ERROR
    assert "cluster: judging" in found["INST-001@cluster/cluster"].reason
    assert found["INST-001@cluster/cluster"].reason == found["INST-002@cluster/cluster"].reason


def test_a_slow_list_of_what_a_policy_must_judge_is_an_error(policies, monkeypatch):
    """Without the list, nobody knows what the policy left out."""
    monkeypatch.setattr(accounting, "_IN_CLUSTER", {**accounting._IN_CLUSTER, "image": hang})

    found = judged(policies)

    assert found["IMG-001@cluster/cluster"].verdict is Verdict.ERROR
    assert "cluster: judging IMG-001 took more than 1 s" in found["IMG-001@cluster/cluster"].reason
    assert found["INST-001@sigsrv/default/web"].verdict is Verdict.PASS


def test_an_instance_whose_row_is_slow_costs_the_rows_of_that_daemon_alone(policies, monkeypatch):
    """Both daemons list all instances. Only those that the slow daemon has to report are unknown."""
    whole = instance_rows._instance

    def slow(listed: InstanceRow, where: str) -> Any:
        return hang() if listed.host == "sigsrv" else whole(listed, where)

    changed = differing(policies, monkeypatch, lambda: monkeypatch.setattr(instance_rows, "_instance", slow))

    on = {each.host for key, each in changed.items() if key.startswith("INST-")}
    assert {each.verdict for each in changed.values()} == {Verdict.ERROR}
    assert on == {"sigsrv"}
    assert any(each.host == "minisrv" and key.startswith("INST-") for key, each in judged(policies).items())


def test_the_limit_leaves_the_signals_of_others_as_they_were():
    seen = []
    before = signal.signal(signal.SIGPROF, lambda *_: seen.append("tick"))
    signal.setitimer(signal.ITIMER_PROF, 0.05, 0.05)
    try:
        with watching(), watching(), pytest.raises(EvidenceError), charged("sigsrv", "df"):
            hang()
        assert signal.getitimer(signal.ITIMER_PROF)[1] == pytest.approx(0.05)
        began = time.process_time()
        while not seen and time.process_time() - began < HANG_S:
            pass
        assert seen
    finally:
        signal.setitimer(signal.ITIMER_PROF, 0)
        signal.signal(signal.SIGPROF, before)


def test_nothing_is_ended_outside_and_in_another_thread():
    """Only the main thread gets signals. There, the time of an evaluation is not limited, and nothing breaks."""
    found: list[str] = []

    def work() -> None:
        with watching(), parsing("df", "sigsrv"):
            began = time.process_time()
            while time.process_time() - began < 1:
                pass
            found.append("read")

    thread = threading.Thread(target=work)
    thread.start()
    thread.join()
    with parsing("df", "sigsrv"):
        found.append("read")

    assert found == ["read", "read"]
    assert signal.getitimer(signal.ITIMER_PROF) == (0, 0)


def test_the_end_of_a_block_is_not_disturbed():
    """A tick that raised while a block is closed would leave the block open."""
    with watching():
        for _ in range(5):
            with pytest.raises(EvidenceError), charged("sigsrv", "df"), parsing("df", ""):
                hang()
        assert limits._watch is not None
        assert limits._watch.open == []
    assert not issubclass(TooSlowError, Exception)
