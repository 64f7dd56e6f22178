"""Tests frames between temporary namespaces on a real kernel, and that nothing remains afterwards."""

from __future__ import annotations

import base64
import json
import shlex
import subprocess
import time
from contextlib import ExitStack
from dataclasses import replace
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sigsrv.collect import frames, frames_script
from sigsrv.collect.evidence import Answer, Evidence, Failure
from sigsrv.collect.frames import FramePlan, InstancePort, Port
from sigsrv.collect.probes import Probe
from sigsrv.collect.running import run_probes
from sigsrv.facts.frames import FrameFacts, Sent, exchanged
from sigsrv.model.errors import EvidenceError, FailureKind
from tests.flood import word_of
from tests.namespaces import Space, SpaceSession, needs_root, two

WORD = "0123456789abcdef"


def port(number: int, bridge: str = "br0", candidates: tuple[str, ...] = (), six: bool = False) -> Port:
    """Return a port whose names and addresses depend on its number."""
    return Port(
        bridge=bridge,
        number=1,
        candidates=candidates or (f"10.9.0.{number}/24",),
        tag=f"198.18.0.{number}/15",
        tag_id=7,
        six=six,
        link=f"sgp0000000{number}",
        outer=f"fe:00:00:00:00:0{number}",
        mac=f"02:00:00:00:00:0{number}",
    )


def answers(spaces: tuple[Space, ...], wanted: FramePlan, account: tuple[str, ...] = ()) -> dict[str, Answer]:
    """Exchange frames between hosts; return the ``frames`` probe of each host."""
    with ExitStack() as stack:
        for each in spaces:
            stack.enter_context(SpaceSession(each, account=account))
        found = frames.exchange({each.name: Evidence(each.name, 1.0) for each in spaces}, wanted)
    return {name: seen.probes["frames"] for name, seen in found.items()}


def sent_frames(found: dict[str, Answer], bridge: str = "br0") -> list[Sent]:
    """Return the sent frames, as the facts show them."""
    facts = [FrameFacts(Evidence(name, 1.0, probes={"frames": answer})) for name, answer in found.items()]
    return list(exchanged([each.sent for each in facts], bridge))


@needs_root
@pytest.mark.parametrize("bridge", ["br0", "$(id>&2)", "-x';reboot\"", "a*?&|<\\"])
def test_frames_of_every_size_pass_both_ways_and_nothing_remains(bridge):
    """For any bridge name: ARP finds the namespace on the other host, full packets return, and the hosts are as before."""
    with two(bridge, mtu=1400) as spaces:
        before = [each.links() for each in spaces]
        wanted = FramePlan({"one": (port(1, bridge, six=True),), "other": (port(2, bridge, six=True),)})

        sent = sent_frames(answers(spaces, wanted), bridge)

        assert [(each.here, each.source, each.path.host, each.path.seen) for each in sent] == [
            ("one", "10.9.0.1", "other", "02:00:00:00:00:02"),
            ("other", "10.9.0.2", "one", "02:00:00:00:00:01"),
        ]
        assert all(each.path.size == 1400 for each in sent)
        for each in sent:
            assert each.path.small.passed
            assert each.path.full
            assert each.path.full.passed
            assert each.path.six
            assert each.path.six.passed
        assert [each.links() for each in spaces] == before
        assert [each.holders() for each in spaces] == [[], []]


@needs_root
def test_a_dead_wire_gives_no_answer_to_arp():
    """Both bridges have a port with a carrier, but one port drops incoming frames: its host gets no answer.

    The other host learns the MAC of the sender from the request, and gets no answer either.
    """
    with two("br0") as (one, other):
        rule = "table netdev lost { chain in { type filter hook ingress device wire0 priority 0; policy drop; }; }"
        other.on("nft", rule)

        sent = sent_frames(answers((one, other), FramePlan({"one": (port(1),), "other": (port(2),)})))

        assert [(each.path.small.received, each.path.full) for each in sent] == [(0, None)] * 2
        assert [each.path.seen for each in sent if each.here == "other"] == [None]


@needs_root
def test_lost_full_packets_are_distinct_from_passing_small_packets():
    """The MTU of the links does not prove that full packets pass."""
    with two("br0") as (one, other):
        rule = "meta length > 1450 drop"
        chain = f"type filter hook ingress device wire0 priority 0; {rule};"
        other.on("nft", f"table netdev cut {{ chain in {{ {chain} }}; }}")

        sent = sent_frames(answers((one, other), FramePlan({"one": (port(1),), "other": (port(2),)})))

        for each in sent:
            assert each.path.seen == each.path.mac
            assert each.path.small.passed
            assert each.path.full
            assert not each.path.full.passed


@needs_root
def test_an_address_that_answers_is_not_used():
    """The other station may be on any host. If all candidates are taken, the result says so."""
    with two("br0") as (one, other):
        for space in (one, other):
            space.on("ip", "link", "add", "sta0", "type", "veth", "peer", "name", "sta1")
            space.on("ip", "link", "set", "sta1", "master", "br0", "up")
        with two("br1") as (station, _):
            other.on("ip", "link", "set", "sta0", "netns", str(station.pid))
            station.on("ip", "addr", "add", "10.9.0.77/24", "dev", "sta0")
            station.on("ip", "link", "set", "sta0", "up")
            other.forwards("sta1")
            taken = "10.9.0.77/24"
            wanted = {"one": (port(1, candidates=(taken, "10.9.0.3/24")),), "other": (port(2, candidates=(taken,)),)}
            found = answers(
                (one, other), FramePlan(wanted, (InstancePort("br0", "other", "p/i/eth0", "02:aa", "10.9.0.77"),))
            )

    document = json.loads(found["one"].stdout)
    assert document["ports"][0]["address"] == "10.9.0.3"
    assert [path["address"] for path in document["paths"]] == ["10.9.0.77"]
    assert "3 received" in document["paths"][0]["small"]
    with pytest.raises(
        EvidenceError, match=r"other: no frame was sent on br0: every candidate address is in use: 10\.9\.0\.77"
    ):
        sent_frames(found)


@needs_root
def test_an_existing_link_is_never_replaced():
    """The script refuses a name that is in use, and the existing link stays unchanged."""
    with two("br0") as (one, other):
        one.on("ip", "link", "add", "sgp00000001", "type", "bridge")
        before = one.links()

        found = answers((one, other), FramePlan({"one": (port(1),), "other": (port(2),)}))

        with pytest.raises(EvidenceError, match="a link sgp00000001 already exists"):
            sent_frames(found)
        assert one.links() == before


@needs_root
def test_a_bridge_keeps_its_mtu_and_mac():
    """Without fixed values, both follow the ports, so the temporary port has the bridge's MTU and a high MAC."""
    with two("br0") as (one, other):
        one.on("ip", "link", "add", "plain", "type", "bridge")
        one.on("ip", "link", "add", "p0", "mtu", "2000", "type", "veth", "peer", "name", "p1")
        one.on("ip", "link", "set", "p0", "master", "plain", "up")
        one.on("ip", "link", "set", "plain", "up")
        seen = one.on("ip", "-o", "link", "show", "plain")
        session = SpaceSession(one)
        rows = [("0", "plain", *row[2:]) for row in _rows([port(1)])]

        with session:
            output = _run(session, frames_script.setup(WORD, 20, rows))
            while_it_is_there = one.on("ip", "-o", "link", "show", "plain")
            _run(session, frames_script.teardown(WORD, ["sgp00000001"]))

        assert output.startswith("port 0 ok ")
        assert "mtu 2000" in seen
        assert _facts_of(while_it_is_there) == _facts_of(seen)
        assert other.links()


@needs_root
def test_the_host_removes_everything_by_itself_after_the_timeout():
    """If sigsrv does not return, the process that keeps a namespace ends, and with it namespace, link and port."""
    with two("br0") as (one, _):
        before = one.links()
        with SpaceSession(one) as session:
            assert _run(session, frames_script.setup(WORD, 8, _rows([port(1)]))).startswith("port 0 ok ")
        assert len(one.links()) == len(before) + 1
        assert len(one.holders()) == 1

        end = time.monotonic() + 20
        while one.links() != before and time.monotonic() < end:
            time.sleep(0.1)

        assert one.links() == before
        assert one.holders() == []


@needs_root
def test_a_scan_removes_only_its_own_namespaces():
    """The end of one scan does not touch the namespaces of another scan."""
    with two("br0") as (one, _), SpaceSession(one) as session:
        _run(session, frames_script.setup(WORD, 20, _rows([port(1)])))
        there = one.links()

        assert _run(session, frames_script.teardown("fedcba9876543210", ["sgp00000002"])) == "left\n"
        assert one.links() == there

        assert _run(session, frames_script.teardown(WORD, ["sgp00000001"])) == "left\n"
        assert len(one.links()) == len(there) - 1


@needs_root
def test_a_host_without_ping_from_iputils_is_reported():
    """Another ping counts differently. No namespace was created, and the one on the other host is removed too."""
    with two("br0") as (one, other):
        before = [one.links(), other.links()]
        ping = subprocess.run(
            ["sh", "-c", "command -v ping"], capture_output=True, text=True, check=True
        ).stdout.strip()
        one.on("mount", "--bind", "/bin/true", ping)

        found = answers((one, other), FramePlan({"one": (port(1),), "other": (port(2),)}))

        assert found["one"].failure
        assert found["one"].failure.kind is FailureKind.MISSING
        assert found["one"].failure.reason.startswith("one: there is no ping of iputils: ")
        assert found["other"].failure is None
        with pytest.raises(EvidenceError, match="there is no ping of iputils"):
            sent_frames(found)
        assert [one.links(), other.links()] == before


@needs_root
def test_an_account_without_rights_is_denied():
    """Without root or permission in sudo, no namespace is created. The result is an answer, never a pass."""
    account = ("setpriv", "--reuid", "65534", "--regid", "65534", "--clear-groups")
    with two("br0") as (one, other):
        found = answers((one, other), FramePlan({"one": (port(1),), "other": (port(2),)}), account)

        assert {answer.failure.kind for answer in found.values() if answer.failure} == {FailureKind.DENIED}
        assert all("root" in answer.failure.reason for answer in found.values() if answer.failure)


def test_a_host_with_only_the_api_sends_no_frames():
    """The API gives no session, and the result says so."""
    found = frames.exchange({"one": Evidence("one", 1.0)}, FramePlan({"one": (port(1),)}))["one"].probes["frames"]

    assert found.failure
    assert found.failure.kind is FailureKind.ABSENT
    assert "uses only the HTTPS API" in found.failure.reason


def test_a_host_that_ran_out_of_time_is_reported_as_such():
    """Its session was cut during the scan. The message differs from that of a host without a login."""
    seen = Evidence("one", 1.0, probes={"link": Answer("ip -j link", 0, "[]")})

    found = frames.exchange({"one": seen}, FramePlan({"one": (port(1),)}))["one"].probes["frames"]

    assert found.failure == Failure(FailureKind.TIMEOUT, "one: the host's timeout expired before a frame could be sent")


class FixedSession(SpaceSession):
    """A session that returns a fixed answer in the frame of the script that it gets."""

    def __init__(self, setup: str, sent: str, teardown: str) -> None:
        super().__init__(Space("one", 1))
        self._outputs = {"frames-setup": setup, "frames-send": sent, "frames-teardown": teardown}

    def run(self, command: str, *_: Any, on_output: Any, **__: Any) -> tuple[int, bytes, bytes]:
        code = subprocess.run(["sh", "-c", command.replace("/bin/sh", "cat")], capture_output=True, check=True).stdout
        word = word_of(command)
        name = code.decode().rsplit("\n  probe ", 1)[1].split(" ")[0]
        coded = base64.encodebytes(f"{self._outputs[name]}\n{word} 0\n\n{word} 0\n\n{word} 0\n".encode())
        on_output(1, f"{word} {name} {len(coded)}\n".encode() + coded)
        return 0, b"", b""


@pytest.mark.parametrize(
    ("setup", "sent", "reason"),
    [
        ("port 0 ok 12 1500 10.9.0.66/24 no\n", "", "10.9.0.66"),  # not a candidate address
        ("port 9 ok 12 1500 10.9.0.1/24 no\n", "", "port 9"),
        ("", "", "the host reported nothing about it"),
        ("refused unshare: unshare failed: Operation not permitted\n", "", "Operation not permitted"),
        ("port 0 ok 12 1500 10.9.0.1/24 no\n", "said 0 small what\nsaid 0 small what\n", "not an answer to a frame"),
        ("port 0 ok 12 1500 10.9.0.1/24 no\n", "said 9 small what\n", "not an answer to a frame"),
        ("port 0 ok 12 1500 10.9.0.1/24 no\n", "rubbish\n", "not an answer to a frame"),
        ("port 0 ok 12 1500 10.9.0.1/24 no\n", "", "'small' is missing"),
        ("port 0 ok 12 1500 10.9.0.1/24 no\n", "said 0 gone\n", "the namespace disappeared"),
        ("port 0 ok 12 1500 10.9.0.1/24 no\n", "said 0 small ping: bad\nsaid 0 arp []\n", "not a count of replies"),
    ],
)
def test_an_invalid_answer_of_a_host_is_an_error(setup, sent, reason):
    """If an answer has missing, duplicate or unrelated lines, none of it counts."""
    station = InstancePort("br0", "one", "default/web/eth0", "02:00:00:00:00:09", "10.9.0.9")
    with FixedSession(setup, sent, "left\n"):
        found = frames.exchange({"one": Evidence("one", 1.0)}, FramePlan({"one": (port(1),)}, (station,)))

    with pytest.raises(EvidenceError, match=reason):
        FrameFacts(found["one"]).sent.on("br0")


def test_tagged_and_untagged_replies_are_distinct():
    """Small and full, with and without a tag: each has its own line, and no line is a prefix of another."""
    ports = (port(1), replace(port(2), number=2))
    setup = "".join(f"port {index} ok 12 1500 {each.candidates[0]} yes\n" for index, each in enumerate(ports))
    passed, lost = "3 packets transmitted, 3 received, x", "3 packets transmitted, 0 received, x"
    sent = "".join(
        f"said {index} small {lost}\nsaid {index} arp []\nsaid {index} tagged {passed}\nsaid {index} tagged-full {lost}\n"
        for index in (0, 1)
    )
    with FixedSession(setup, sent, "left\n"):
        found = frames.exchange({"one": Evidence("one", 1.0)}, FramePlan({"one": ports}))

    answer = found["one"].probes["frames"]
    seen = [(each.path.tagged, each.path.tagged_full) for each in sent_frames({"one": answer})]
    assert [(small and small.passed, full and full.passed) for small, full in seen] == [(True, False)] * 2
    assert json.loads(answer.stdout)["paths"][0]["tagged-full"] == lost


def test_a_link_that_could_not_be_removed_is_reported():
    """The frames then give no verdict. The message names the link and says when the host removes it."""
    station = InstancePort("br0", "one", "default/web/eth0", "02:00:00:00:00:09", "10.9.0.9")
    sent = "said 0 small 3 packets transmitted, 0 received, x\nsaid 0 arp []\n"
    with FixedSession("port 0 ok 12 1500 10.9.0.1/24 no\n", sent, "left sgp00000001\n"):
        found = frames.exchange({"one": Evidence("one", 1.0)}, FramePlan({"one": (port(1),)}, (station,)))

    failure = found["one"].probes["frames"].failure
    assert failure
    assert failure.reason == "one: sgp00000001 still exists: the host removes it by itself within 70 s"


@given(st.text(st.characters(exclude_characters="\0/", exclude_categories=["Cs"]), min_size=1, max_size=15))
def test_no_name_is_ever_code(name):
    """Any bridge name reaches the script as one word."""
    code = frames_script.setup(WORD, 5, _rows([port(1, name)]))

    (call,) = [line for line in code.split("wait\n")[0].split("\n}\n")[-1:] if line.startswith("port ")]
    assert shlex.split(call)[:3] == ["port", "0", name]
    assert call.endswith("&\n")


def _rows(ports: list[Port]) -> list[tuple[str, ...]]:
    return [
        (str(index), p.bridge, p.link, p.outer, p.mac, p.tag, str(p.tag_id), *p.candidates)
        for index, p in enumerate(ports)
    ]


def _run(session: SpaceSession, code: str) -> str:
    session.extend(20)
    answer = run_probes(session, [Probe("code", ("sh", "-c", code), "a test", timeout_s=15)])["code"]
    assert answer.failure is None
    return answer.stdout


def _facts_of(line: str) -> tuple[str, str]:
    """Return MTU and MAC from a line of ``ip -o link``."""
    return line.split(" mtu ")[1].split(" ")[0], line.split("link/ether ")[1].split(" ")[0]
