"""Tests what all facts share: how they read the answer of a probe."""

from __future__ import annotations

import pytest

from sigsrv.collect.evidence import Answer, Evidence
from sigsrv.facts.hosts import HostFacts
from sigsrv.facts.parsing import output, probe
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
