"""Tests the questions about the steps of a plan, with a person who types one answer after the other."""

from __future__ import annotations

import dataclasses

import pytest

from sigsrv.commands.remediate_ask import Asker
from sigsrv.remediate.planning import Step
from sigsrv.remediate.runs import Choice
from tests.test_remediate_journal import FAILING, FIX

APPLY, LEAVE_OUT, STOP = Choice.APPLY, Choice.LEAVE_OUT, Choice.STOP


def step(policy: str, resource: str) -> Step:
    return Step(dataclasses.replace(FAILING, policy=policy, resource=resource), FIX)


STEPS = (step("NET-001", "a"), step("NET-001", "b"), step("NET-003", "a"))


class Person:
    """Types answers. seen: the questions. shown: the steps whose details were shown. waived: the steps that were waived."""

    def __init__(self, *answers: str, accepts: bool = True) -> None:
        self.answers, self.accepts = list(answers), accepts
        self.seen: list[str] = []
        self.shown: list[Step] = []
        self.waived: list[Step] = []
        self.asker = Asker(STEPS, self.shown.append, self.waive, self.read)

    def read(self, question, keep):
        self.seen.append(question)
        keep()
        if not self.answers:
            raise EOFError
        return self.answers.pop(0)

    def waive(self, step, read, keep):
        self.waived.append(step)
        return self.accepts

    def decisions(self) -> list[Choice]:
        return [self.asker.decide(each, lambda: None) for each in STEPS]


@pytest.mark.parametrize(
    ("answers", "decisions"),
    [
        ("yyy", [APPLY, APPLY, APPLY]),
        (["yes", "no", "YES"], [APPLY, LEAVE_OUT, APPLY]),
        (["", "n", "y"], [LEAVE_OUT, LEAVE_OUT, APPLY]),
        ("sy", [LEAVE_OUT, LEAVE_OUT, APPLY]),
        ("na", [LEAVE_OUT, APPLY, APPLY]),
        ("xdy?yy", [APPLY, APPLY, APPLY]),
    ],
)
def test_answer_decides_about_one_step_or_more(capsys, answers, decisions):
    """s leaves out all steps of the policy, a applies all others. Any other word shows what the letters mean."""
    person = Person(*answers)

    assert person.asker.first() is True
    assert person.decisions() == decisions
    assert person.answers == []
    assert person.asker.left_out == [
        each.finding.id for each, choice in zip(STEPS, decisions, strict=True) if choice is LEAVE_OUT
    ]


@pytest.mark.parametrize("answers", ["q", "", "nq", "nnn", "ss"])
def test_nothing_is_locked_if_nobody_says_yes(answers):
    """The end of the input is like q."""
    assert Person(*answers).asker.first() is False


def test_first_yes_is_asked_before_the_hosts_are_locked_and_only_once():
    """Later questions wait until the step before is verified."""
    person = Person("n", "y")
    person.asker.first()
    assert [question.split(":")[0] for question in person.seen] == [
        "step 1 of 3, NET-001@minisrv/a",
        "step 2 of 3, NET-001@minisrv/b",
    ]

    assert person.decisions() == [LEAVE_OUT, APPLY, STOP]
    assert len(person.seen) == 3


def test_details_are_shown_on_demand():
    """The question comes again."""
    person = Person("d", "y")
    person.asker.first()

    assert person.shown == [STEPS[0]]
    assert len(person.seen) == 2


@pytest.mark.parametrize(("accepts", "answers", "applied"), [(True, "wyy", False), (False, "wyyy", True)])
def test_waived_finding_is_left_out(accepts, answers, applied):
    """If the waiver can't be written, the question comes again."""
    person = Person(*answers, accepts=accepts)
    person.asker.first()

    assert person.waived == [STEPS[0]]
    assert person.decisions()[0] is (APPLY if applied else LEAVE_OUT)


def test_hosts_stay_locked_while_a_person_thinks():
    """Each question that comes while the hosts are locked gets the function that keeps them locked."""
    person, kept = Person("y", "y"), []
    person.asker.first()
    person.asker.decide(STEPS[1], lambda: kept.append("kept"))

    assert kept == ["kept"]
