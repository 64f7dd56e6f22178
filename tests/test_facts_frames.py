"""Tests the facts about test frames. A missing or malformed result never reads as a frame that passed."""

from __future__ import annotations

import json
from contextlib import suppress
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sigsrv.collect.evidence import Answer, Evidence, Failure
from sigsrv.facts.frames import FrameFacts, Replies, exchanged, frames
from sigsrv.model.errors import EvidenceError, FailureKind

MAC = "02:00:00:00:00:02"
COUNT = "3 packets transmitted, 2 received, 33.3333% packet loss, time 404ms"
NEIGHBOUR = json.dumps([{"dst": "10.9.0.2", "lladdr": MAC.upper(), "state": ["REACHABLE"]}])
PORT = {"bridge": "br0", "port": 1, "mac": "02:00:00:00:00:01", "address": "10.9.0.1", "mtu": 1500, "tagged": True}
PATH = {
    "bridge": "br0",
    "port": 1,
    "host": "other",
    "peer": 1,
    "mac": MAC,
    "address": "10.9.0.2",
    "size": 1500,
    "small": COUNT,
    "arp": NEIGHBOUR,
    "full": COUNT,
    "tagged": "3 packets transmitted, 0 received, +3 errors, 100% packet loss, time 2ms",
}


def document(path: dict[str, Any] | None = None, port: dict[str, Any] | None = None) -> str:
    return json.dumps({"ports": [{**PORT, **(port or {})}], "paths": [{**PATH, **(path or {})}]})


def test_a_path_has_the_sent_packets_and_the_replies():
    """A path has addresses, sizes and counts. MACs are in lower case. Packets that were not sent are None."""
    (path,) = frames(document(), "one").paths

    assert (path.bridge, path.port, path.host, path.peer, path.instance) == ("br0", 1, "other", 1, "")
    assert (path.mac, path.seen, path.size) == (MAC, MAC, 1500)
    assert (path.small, path.full, path.tagged) == (Replies(3, 2), Replies(3, 2), Replies(3, 0))
    assert (path.tagged_full, path.six) == (None, None)


@pytest.mark.parametrize(
    "neighbours",
    [[], [{"dst": "10.9.0.2", "state": ["FAILED"]}], [{"dst": "10.9.0.2", "lladdr": MAC, "state": ["FAILED"]}]],
)
def test_a_neighbour_that_did_not_answer_has_no_mac(neighbours):
    """Covers no entry, an entry without an address, and an entry in the state FAILED."""
    assert frames(document({"arp": json.dumps(neighbours)}), "one").paths[0].seen is None


@pytest.mark.parametrize("text", ["", "[]", "{}", "null", "7", "Permission denied", document()[:-1], document()[:90]])
def test_text_that_is_not_a_whole_document_is_an_error(text):
    """Covers empty text, other content, and a document that is cut off."""
    with pytest.raises(EvidenceError, match="one: frames"):
        frames(text, "one")


INVALID: list[dict[str, Any]] = [
    *({key: None} for key in PATH),
    *({key: ""} for key in PATH),
    *({"small": line} for line in ("ping: connect: Network is unreachable", "3 packets transmitted", "x" + COUNT)),
    {"small": "2 packets transmitted, 3 received, 0% packet loss"},
    {"full": "0 packets transmitted, 0 received, 0% packet loss"},
    {"tagged": COUNT},  # without the count of full packets with a tag
    *({"arp": text} for text in ("{}", "[7]", "[{}]", NEIGHBOUR.replace("10.9.0.2", "10.9.0.3"), NEIGHBOUR[:-1])),
    {"peer": "1"},
    {"peer": True},
    {"size": 1500.0},
    {"gone": ""},
    {"port": 2},  # a namespace that does not exist
]


@pytest.mark.parametrize("path", INVALID, ids=json.dumps)
def test_a_path_with_an_invalid_value_is_an_error(path):
    """Examples are an invalid count, a reply from another address, and a text instead of a number."""
    with pytest.raises(EvidenceError, match="one: frames"):
        frames(document(path), "one")


@pytest.mark.parametrize("key", sorted(set(PATH) - {"tagged"}))
def test_a_path_without_a_required_key_is_an_error(key):
    """Only the key for tagged packets is optional."""
    rest = {name: value for name, value in PATH.items() if name != key}
    with pytest.raises(EvidenceError, match="one: frames"):
        frames(json.dumps({"ports": [PORT], "paths": [rest]}), "one")


@pytest.mark.parametrize(
    "port", [*({key: None} for key in PORT), {"address": "fe80::1"}, {"mtu": "1500"}, {"failure": ""}]
)
def test_a_namespace_with_an_invalid_value_is_an_error(port):
    """A namespace that failed to start and nevertheless sent frames is an error too."""
    with pytest.raises(EvidenceError, match="one: "):
        frames(document(port=port), "one").on("br0")


def test_a_namespace_that_is_listed_twice_is_an_error():
    """The frames could belong to either of the two."""
    with pytest.raises(EvidenceError, match="listed twice"):
        frames(json.dumps({"ports": [PORT, PORT], "paths": []}), "one")


@pytest.mark.parametrize(
    "answer",
    [
        None,
        Answer("x", failure=Failure(FailureKind.DENIED, "one: refused")),
        Answer("x", failure=Failure(FailureKind.TIMEOUT, "one: no end in 30 s")),
        Answer("x", 1, document(), "it broke"),
    ],
)
def test_a_probe_that_was_denied_or_timed_out_is_an_error(answer):
    """A host without the probe is an error too, and the facts say that it sent no frames."""
    evidence = Evidence("one", 1.0, probes={"frames": answer} if answer else {})

    assert FrameFacts(evidence).were_sent is bool(answer)
    with pytest.raises(EvidenceError, match=r"^one: "):
        _ = FrameFacts(evidence).sent


def test_each_namespace_sends_to_each_other_namespace():
    """A path without a result is an error, in each direction. A path with two results is an error too."""
    reverse = {**PATH, "host": "one", "mac": "02:00:00:00:00:01", "address": "10.9.0.1"}
    reverse["arp"] = NEIGHBOUR.replace("10.9.0.2", "10.9.0.1")
    other = json.dumps({"ports": [PORT], "paths": [reverse]})
    both = [frames(document(), "one"), frames(other, "other")]

    assert [each.here for each in exchanged(both, "br0")] == ["one", "other"]
    for text in (
        json.dumps({"ports": [PORT], "paths": []}),
        json.dumps({"ports": [PORT], "paths": [reverse, reverse]}),
    ):
        with pytest.raises(
            EvidenceError, match="other: the evidence does not say whether a frame from it reaches one on br0"
        ):
            exchanged([both[0], frames(text, "other")], "br0")
    with pytest.raises(EvidenceError, match="one: no frame was sent on br1"):
        exchanged(both, "br1")


@given(
    st.recursive(
        st.none() | st.booleans() | st.integers() | st.text(),
        lambda each: st.lists(each) | st.dictionaries(st.text(), each),
    )
)
def test_arbitrary_json_raises_only_evidence_errors(value):
    """Hostile text never raises another exception."""
    for text in (
        json.dumps(value),
        document({"arp": json.dumps(value)}),
        document({"small": value}),
        document(port={"mtu": value}),
    ):
        with suppress(EvidenceError):
            frames(text, "one")
