"""What temporary namespaces saw, as facts: nothing that is missing or of another shape reads as a frame that passed."""

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


def test_what_was_sent_and_what_came_back():
    """Addresses, sizes and counts; a MAC in lower case; what was not sent is None."""
    (path,) = frames(document(), "one").paths

    assert (path.bridge, path.port, path.host, path.peer, path.instance) == ("br0", 1, "other", 1, "")
    assert (path.mac, path.seen, path.size) == (MAC, MAC, 1500)
    assert (path.small, path.full, path.tagged) == (Replies(3, 2), Replies(3, 2), Replies(3, 0))
    assert (path.tagged_full, path.six) == (None, None)


@pytest.mark.parametrize(
    "neighbours",
    [[], [{"dst": "10.9.0.2", "state": ["FAILED"]}], [{"dst": "10.9.0.2", "lladdr": MAC, "state": ["FAILED"]}]],
)
def test_a_neighbour_that_did_not_answer_was_not_seen(neighbours):
    """No entry, one without an address, and one that the kernel gave up."""
    assert frames(document({"arp": json.dumps(neighbours)}), "one").paths[0].seen is None


@pytest.mark.parametrize("text", ["", "[]", "{}", "null", "7", "Permission denied", document()[:-1], document()[:90]])
def test_what_is_no_document_is_an_error(text):
    """Nothing, something else, and a part of it."""
    with pytest.raises(EvidenceError, match="one: frames"):
        frames(text, "one")


SPOILT: list[dict[str, Any]] = [
    *({key: None} for key in PATH),
    *({key: ""} for key in PATH),
    *({"small": line} for line in ("ping: connect: Network is unreachable", "3 packets transmitted", "x" + COUNT)),
    {"small": "2 packets transmitted, 3 received, 0% packet loss"},
    {"full": "0 packets transmitted, 0 received, 0% packet loss"},
    {"tagged": COUNT},  # and nothing of full packets within a tag
    *({"arp": text} for text in ("{}", "[7]", "[{}]", NEIGHBOUR.replace("10.9.0.2", "10.9.0.3"), NEIGHBOUR[:-1])),
    {"peer": "1"},
    {"peer": True},
    {"size": 1500.0},
    {"gone": ""},
    {"port": 2},  # a namespace that was not made
]


@pytest.mark.parametrize("path", SPOILT, ids=json.dumps)
def test_a_path_with_something_else_in_it_is_an_error(path):
    """A count that is none, an answer of another address, a number that is a text."""
    with pytest.raises(EvidenceError, match="one: frames"):
        frames(document(path), "one")


@pytest.mark.parametrize("key", sorted(set(PATH) - {"tagged"}))
def test_a_path_with_something_missing_is_an_error(key):
    """Without a tag there is less to be told, and nothing else may be left out."""
    rest = {name: value for name, value in PATH.items() if name != key}
    with pytest.raises(EvidenceError, match="one: frames"):
        frames(json.dumps({"ports": [PORT], "paths": [rest]}), "one")


@pytest.mark.parametrize(
    "port", [*({key: None} for key in PORT), {"address": "fe80::1"}, {"mtu": "1500"}, {"failure": ""}]
)
def test_a_namespace_with_something_else_in_it_is_an_error(port):
    """Also one that was not made and has sent something."""
    with pytest.raises(EvidenceError, match="one: "):
        frames(document(port=port), "one").on("br0")


def test_a_namespace_that_is_there_twice_is_an_error():
    """Whose frames were they?"""
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
def test_what_was_refused_or_took_too_long_is_an_error(answer):
    """And a host that was not asked, beside one that was."""
    evidence = Evidence("one", 1.0, probes={"frames": answer} if answer else {})

    assert FrameFacts(evidence).were_sent is bool(answer)
    with pytest.raises(EvidenceError, match=r"^one: "):
        _ = FrameFacts(evidence).sent


def test_each_namespace_has_sent_to_each_other_one():
    """A way of which nothing is told is an error, in whatever direction; so is one that is told of twice."""
    there = {**PATH, "host": "one", "mac": "02:00:00:00:00:01", "address": "10.9.0.1"}
    there["arp"] = NEIGHBOUR.replace("10.9.0.2", "10.9.0.1")
    other = json.dumps({"ports": [PORT], "paths": [there]})
    both = [frames(document(), "one"), frames(other, "other")]

    assert [each.here for each in exchanged(both, "br0")] == ["one", "other"]
    for text in (json.dumps({"ports": [PORT], "paths": []}), json.dumps({"ports": [PORT], "paths": [there, there]})):
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
def test_other_json_breaks_nothing(value):
    """Hostile text gives an error of the evidence, or none, and never one of ours."""
    for text in (
        json.dumps(value),
        document({"arp": json.dumps(value)}),
        document({"small": value}),
        document(port={"mtu": value}),
    ):
        with suppress(EvidenceError):
            frames(text, "one")
