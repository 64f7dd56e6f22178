"""Tests what all facts share: how they read the answer of a probe."""

from __future__ import annotations

import pytest

from sigsrv.collect.evidence import Answer, Evidence
from sigsrv.collect.probes import TABLE
from sigsrv.facts.hosts import HostFacts
from sigsrv.facts.parsing import JSON_PROBES, LINE_LENGTH, instant, integer, moment, number, output, parsing, probe
from sigsrv.model.errors import EvidenceError, FailureKind


def holding(stdout: str, rc: int = 0) -> Evidence:
    return Evidence("sigsrv", 0.0, probes={"cpus": Answer("getconf", rc, stdout)})


@pytest.mark.parametrize("rc", [0, 1])
@pytest.mark.parametrize("stdout", ["1", "4\n1", "1\nx", " "])
def test_an_output_without_its_last_newline_is_cut_off(stdout, rc):
    """16 CPUs would read as 1. The exit status of the command does not show that the output was lost on its way."""
    with pytest.raises(EvidenceError, match="sigsrv: probe cpus: the output is cut off") as caught:
        probe(holding(stdout, rc), "cpus")

    assert caught.value.kind is FailureKind.GARBLED
    with pytest.raises(EvidenceError, match="cut off"):
        _ = HostFacts("sigsrv", "sigsrv", holding("1")).machine.cpus


@pytest.mark.parametrize("stdout", ["", "16\n", "a 1 /x\0", '{"a": []}', "[]"])
def test_an_empty_output_and_one_with_its_end_are_read(stdout):
    """A JSON document ends with its last bracket; names that find prints end with a null byte."""
    assert output(holding(stdout), "cpus") == stdout


@pytest.mark.parametrize(("name", "end"), [("groups", "\n"), ("filesystems", "\n"), ("sshd", "\n"), ("backups", "\0")])
@pytest.mark.parametrize("place", ["first", "middle", "last"])
def test_a_line_that_is_too_long_is_an_error_of_its_probe(name, end, place):
    short, longest = f"a{end}" * 100_000, f"{'a' * LINE_LENGTH}{end}"
    documents = {"first": ("", short), "middle": (short, short), "last": (short, "")}
    before, after = documents[place]

    def answered(line: str) -> Evidence:
        return Evidence("sigsrv", 0.0, probes={name: Answer("getent", 0, before + line + after)})

    assert probe(answered(longest), name).stdout == before + longest + after
    with pytest.raises(
        EvidenceError, match=f"sigsrv: probe {name}: a line has more than 65536 characters; to see it:"
    ) as caught:
        probe(answered(f"a{longest}"), name)

    assert caught.value.kind is FailureKind.TOO_LARGE


def test_a_line_of_json_may_be_of_any_length():
    """ip and nft print all links and all rules on one line."""
    document = f'["{"a" * 1_000_000}"]'

    assert {each.id for each in TABLE if {"-j", "-J", "json"} & {*each.command}} == JSON_PROBES
    assert output(Evidence("sigsrv", 0.0, probes={"link": Answer("ip", 0, document)}), "link") == document


@pytest.mark.parametrize(
    "value", ["", "-1", "+1", "1_0", " 1", "1.0", "\u0661", "\u00b2", "9" * 21, "9" * 5000, "99999999999999999999"]
)
def test_a_number_has_at_most_64_bits_in_decimal_digits(value):
    """Python reads more than that as a number, and a calculation with it breaks."""
    with pytest.raises(ValueError, match="what"):
        number(value, "what")
    assert number("18446744073709551615", "what") == 2**64 - 1


@pytest.mark.parametrize("value", [True, 1.0, "1", None, 2**64 + 1, -(10**400)])
def test_an_integer_has_at_most_64_bits(value):
    with pytest.raises(ValueError, match="what"):
        integer(value, "what")


@pytest.mark.parametrize("value", [float("nan"), float("inf"), -1e300, 253402300800.5, 10**400])
def test_a_time_that_no_calendar_has_is_an_error(value):
    with pytest.raises(ValueError, match="what"):
        instant(value, "what")


@pytest.mark.parametrize("value", ["9999-12-31T23:59:59-23:59", "0000-01-01T00:00:00Z", "0002-01-01T00:00:00+99:00"])
def test_a_moment_at_the_end_of_the_calendar_is_an_error(value):
    with pytest.raises(ValueError, match="what"):
        moment(value, "what")


@pytest.mark.parametrize("cause", [OverflowError("x"), ZeroDivisionError("x"), RecursionError("x"), KeyError("x")])
def test_whatever_breaks_while_an_answer_is_read_is_an_error_of_that_answer(cause):
    with pytest.raises(EvidenceError, match=r"sigsrv: df: ('x' is missing|x)"), parsing("df", "sigsrv"):
        raise cause


def test_a_reason_quotes_only_the_beginning_of_what_a_host_sent():
    with pytest.raises(EvidenceError) as caught, parsing("df", "sigsrv"):
        raise ValueError("a" * 1_000_000)

    assert len(caught.value.reason) < 2100
