"""Tests what a run says once: a daemon that is newer than sigsrv knows, ways in without a policy, and hosts to which nobody logs in."""

from __future__ import annotations

import dataclasses
import json
from typing import Any

import pytest
from pylxd.exceptions import LXDAPIException

from sigsrv.authoring import document
from sigsrv.collect import api, evidence, extras, urls
from sigsrv.collect.evidence import Answer, ApiAnswer, Evidence, Failure
from sigsrv.commands import main
from sigsrv.facts.beyond import WayIn, unknown_keys, ways_in
from sigsrv.facts.hosts import HostFacts
from sigsrv.judge.evaluate import evaluate
from sigsrv.judge.require import Require, because_of
from sigsrv.model import data, incus_keys
from sigsrv.model.errors import EvidenceError, FailureKind
from sigsrv.model.finding import Finding, Verdict
from sigsrv.model.site import Site
from sigsrv.scan.notices import notices_of
from tests.judged import CHECKS, POLICIES
from tests.saved import saved

FORWARDS = urls.network_list_url("userbr0", "forwards")
BUCKETS = urls.buckets_url("nvme")
NEW = {
    "op": "add",
    "path": "/cluster/server/api_extensions",
    "value": ["etag", "quantum_networks", "instance_teleport"],
}


def hosts_of(*changes: dict[str, Any], answers: dict[str, Any] | None = None) -> tuple[Site, dict[str, HostFacts]]:
    """Return the site and the facts of the example document with changes. answers: further answers of sigsrv's daemon, by URL."""
    site, facts = document.facts_of(document.patched(changes))
    for url, metadata in (answers or {}).items():
        at = facts["sigsrv"]
        answer = metadata if isinstance(metadata, ApiAnswer) else ApiAnswer(200, metadata)
        kept = dataclasses.replace(at.evidence, api={**at.evidence.api, url: answer})
        facts = {**facts, "sigsrv": HostFacts(at.name, at.member, kept)}
    return site, dict(facts)


def judged(site: Site, facts: dict[str, HostFacts]) -> dict[str, Finding]:
    return {each.id: each for each in evaluate(POLICIES.values(), CHECKS, site, facts)}


def notices(*changes: dict[str, Any], answers: dict[str, Any] | None = None) -> dict[str, tuple[str, tuple[str, ...]]]:
    """Return kind -> text and details of the notices."""
    site, facts = hosts_of(*changes, answers=answers)
    found = notices_of(facts, judged(site, facts).values())
    assert len({each.kind for each in found}) == len(found)
    return {each.kind: (each.text, each.details) for each in found}


def test_daemon_that_sigsrv_knows_gives_no_notice():
    """An older one gives none either."""
    assert notices() == {}


def test_what_a_newer_daemon_has_is_one_notice():
    """Both hosts have it, and it is said once."""
    text, details = notices(NEW)["newer-incus"]

    assert "sigsrv, minisrv" in text
    assert "2 API extensions and 0 configuration keys" in text
    assert details == ("API extension instance_teleport", "API extension quantum_networks")


def test_notice_names_the_keys_that_the_daemon_itself_describes():
    """They are those of its own metadata that no known version has."""
    described = {"instance": ["limits.cpu", "limits.qubits"], "project": ["restricted"], "device_npu": ["id"]}
    text, details = notices(NEW, answers={urls.METADATA: described})["newer-incus"]

    assert "2 API extensions and 2 configuration keys" in text
    assert details[-2:] == ("key of device_npu: id", "key of instance: limits.qubits")


def test_newer_daemon_alone_changes_no_verdict():
    """A policy is an error where an object has an unknown key, and not because the daemon is newer."""
    before, after = (judged(*hosts_of(*changes)) for changes in ((), (NEW,)))

    assert {name: each.verdict for name, each in after.items()} == {name: each.verdict for name, each in before.items()}


def test_notice_says_that_the_keys_could_not_be_read():
    """The extensions are known nevertheless."""
    failed = ApiAnswer(failure=Failure(FailureKind.TIMEOUT, "no answer"))
    text, details = notices(NEW, answers={urls.METADATA: failed})["newer-incus"]

    assert "sigsrv: the list of keys could not be read" in text
    assert len(details) == 2


def test_daemon_that_lists_countless_extensions_fills_no_report():
    """The first ones are kept, and the number of the others."""
    change = {**NEW, "value": ["etag", *(f"x{number:06}" for number in range(20_000))]}
    text, details = notices(change)["newer-incus"]

    assert "20000 API extensions" in text
    assert details[-1] == "and 19500 more"
    assert len(details) == 501


def test_ways_in_without_a_policy_are_one_notice():
    """A forward, a bucket and a zone, each with its place."""
    answers = {
        FORWARDS: [{"listen_address": "192.0.2.5", "config": {}}],
        BUCKETS: [{"name": "photos", "project": "default"}],
        urls.ZONES: [{"name": "example.org"}],
        urls.network_list_url("o/v", "peers"): [{"name": "other"}],
    }
    text, details = notices(answers=answers)["not-judged"]

    assert "4 ways" in text
    assert details == (
        "network forward userbr0/192.0.2.5",
        "network peer o/v/other",
        "network zone example.org",
        "storage bucket nvme/photos",
    )


@pytest.mark.parametrize(
    "answer", [ApiAnswer(failure=Failure(FailureKind.DENIED, "refused")), {"name": 1}, [{"listen": "x"}]]
)
def test_list_of_ways_in_that_can_not_be_read_is_in_the_notice(answer):
    """What is unknown is said, and is no error of a policy: no verdict depends on it."""
    text, details = notices(answers={FORWARDS: answer})["not-judged"]
    site, facts = hosts_of(answers={FORWARDS: answer})

    assert "1 list of such ways that could not be read" in text
    assert len(details) == 1
    assert judged(site, facts).keys() == judged(*hosts_of()).keys()
    assert judged(site, facts)["HOST-011@sigsrv/sigsrv"].verdict is Verdict.PASS


def test_empty_lists_are_no_notice():
    """There is nothing to judge."""
    assert notices(answers={FORWARDS: [], BUCKETS: [], urls.ZONES: [], urls.ADDRESS_SETS: [{"name": "a"}]}) == {}


def server(*extensions: str) -> dict[str, Any]:
    return {"api_extensions": list(extensions)}


ANSWERS = {
    urls.NETWORKS: ApiAnswer(
        200,
        [
            {"name": "br0", "managed": True, "type": "bridge"},
            {"name": "ovn0", "managed": True, "type": "ovn"},
            {"name": "mac0", "managed": True, "type": "macvlan"},
            {"name": "eth0", "managed": False, "type": "bridge"},
            {"managed": True, "type": "bridge"},
        ],
    ),
    urls.POOLS: ApiAnswer(200, [{"name": "nvme", "driver": "zfs"}]),
}


@pytest.mark.parametrize(
    ("extensions", "asked"),
    [
        ((), []),
        (("network_address_set",), [urls.ADDRESS_SETS]),
        (("network_zones_all_projects",), [urls.ZONES]),
        (("network_forward",), [urls.network_list_url("br0", "forwards"), urls.network_list_url("ovn0", "forwards")]),
        (("network_load_balancer",), [urls.network_list_url("ovn0", "load-balancers")]),
        (("network_peer",), [urls.network_list_url("ovn0", "peers")]),
        (("storage_buckets_all_projects",), [BUCKETS]),
        (("metadata_configuration",), []),
        (("metadata_configuration", "quantum_networks"), [urls.METADATA]),
    ],
)
def test_daemon_is_asked_only_for_what_it_has(extensions, asked):
    """Its API extensions say so. What its keys are is asked only if it has an extension that nobody knows."""
    assert list(extras.extra_urls(server(*extensions), ANSWERS)) == asked


@pytest.mark.parametrize("odd", [None, [], {"api_extensions": "network_forward"}, {"api_extensions": [1, None]}])
def test_odd_server_is_asked_for_nothing_more(odd):
    """Its other answers say what is wrong with it."""
    assert list(extras.extra_urls(odd, ANSWERS)) == []


def test_only_the_names_of_keys_are_stored():
    """The descriptions of a daemon are 20 times as long."""
    answer = {
        "configs": {
            "server": {"core": {"keys": [{"core.b": {"longdesc": "x"}}, {"core.a": {}}]}},
            "devices": {"disk": {"keys": [{"path": {}}]}},
            "kernel": {"limits": {"keys": [{"limits.kernel.as": {}}]}},
        }
    }

    assert extras.key_names(answer) == {
        "device_disk": ["path"],
        "instance": ["limits.kernel.as"],
        "server": ["core.a", "core.b"],
    }


@pytest.mark.parametrize(
    "odd", [None, [], {}, {"configs": []}, {"configs": {"a": {"b": {}}}}, {"configs": {"a": {"b": {"keys": 1}}}}]
)
def test_odd_description_of_keys_is_refused(odd):
    """The request then has a failure, as any answer that is none."""
    with pytest.raises(ValueError, match="not a description of configuration keys"):
        extras.key_names(odd)


def test_stored_keys_that_are_no_list_are_refused():
    """Saved evidence may come from anywhere."""
    with pytest.raises(EvidenceError):
        unknown_keys(Evidence("a", 1.0, api={urls.METADATA: ApiAnswer(200, {"server": "core.a"})}))


class Refusing:
    """A client whose daemon answers each request with one HTTP status."""

    def __init__(self, status: int) -> None:
        self.api = self
        self._status = status

    def __getitem__(self, _: str) -> Refusing:
        return self

    def get(self, **_: Any) -> None:
        response = type("R", (), {"status_code": self._status, "json": lambda _: {"error": "no"}, "content": b""})()
        raise LXDAPIException(response)


@pytest.mark.parametrize(
    ("url", "status", "is_empty"), [(BUCKETS, 400, True), (BUCKETS, 403, False), (urls.POOLS, 400, False)]
)
def test_driver_that_has_no_buckets_has_none(url, status, is_empty):
    """Incus refuses the list with 400. Of anything that each daemon has, that is a failure."""
    found = api._get(Refusing(status), url, 1e12, lambda: pytest.fail("unexpected call"), 5)

    assert (found.metadata == [] and found.failure is None) is is_empty


def test_ways_in_are_read_from_each_list():
    """A place may have any name."""
    kept = Evidence(
        "a", 1.0, api={urls.network_list_url("a b", "load-balancers"): ApiAnswer(200, [{"listen_address": "::1"}])}
    )

    assert ways_in(kept) == ((WayIn("network load balancer", "a b", "::1"),), ())


def without_login(facts: dict[str, HostFacts], *names: str) -> dict[str, HostFacts]:
    """Return the facts of hosts to which the site file lets nobody log in."""
    found = dict(facts)
    for name in names:
        failure = Failure(FailureKind.NO_LOGIN, f"sigsrv does not log in to {name} (api.only in the site file)")
        probes = {key: Answer(each.command, failure=failure) for key, each in facts[name].evidence.probes.items()}
        found[name] = HostFacts(name, facts[name].member, dataclasses.replace(facts[name].evidence, probes=probes))
    return found


def test_policies_that_need_a_login_are_one_notice_and_no_error():
    """The others are judged from the API as usual."""
    site, facts = hosts_of()
    hosts = without_login(facts, "sigsrv", "minisrv")
    before, after = judged(site, facts), judged(site, hosts)
    found = {each.kind: each for each in notices_of(hosts, after.values())}["no-login"]

    assert [each.id for each in after.values() if each.verdict is Verdict.ERROR] == []
    assert found.hosts == ("sigsrv", "minisrv")
    assert {"HOST-003", "NET-001", "ACL-007"} <= set(found.details)
    assert f"{len(found.details)} policies" in found.text
    assert len(found.details) > 15
    apart = {each.policy for each in after.values() if each.reason.startswith("no login: ")}
    assert apart == set(found.details)
    for name in after.keys() & before.keys():
        assert after[name].verdict is before[name].verdict or after[name].policy in apart, name
    assert {each.policy for each in before.values()} == {each.policy for each in after.values()}


def test_known_fault_beats_the_missing_login():
    """The API shows that it listens anywhere. Which sockets there are is not known."""
    site, facts = hosts_of({"op": "add", "path": "/minisrv/server/config", "value": {"core.https_address": ":8443"}})
    after = judged(site, without_login(facts, "minisrv"))

    assert after["AUTH-001@minisrv/minisrv"].verdict is Verdict.FAIL
    assert after["AUTH-001@sigsrv/sigsrv"].verdict is Verdict.PASS


def test_real_error_beats_the_missing_login():
    """A daemon that does not answer is an error on a host without a login too."""
    change = {"op": "add", "path": "/minisrv/failures/api", "value": {"kind": "down", "reason": "nothing answers"}}
    site, facts = hosts_of(change)
    after = judged(site, without_login(facts, "minisrv"))

    assert after["HOST-002@minisrv/minisrv"].verdict is not Verdict.PASS
    assert after["AUTH-005@minisrv/minisrv"].verdict is Verdict.ERROR
    assert after["HOST-011@minisrv/minisrv"].verdict is Verdict.ERROR or after["AUTH-005@minisrv/minisrv"].because


@pytest.mark.parametrize(
    ("others", "verdict"), [((), Verdict.NOT_APPLICABLE), ((EvidenceError("garbled"),), Verdict.ERROR)]
)
def test_another_unknown_clause_makes_it_an_error(others, verdict):
    """Whatever comes first: only a finding that needs nothing but a login is left alone."""
    away = EvidenceError("no login", FailureKind.NO_LOGIN, "minisrv", "listen")
    site, _ = hosts_of()
    for causes in ((away, *others), (*others, away)):
        require = Require(POLICIES["AUTH-001"], site, "minisrv", "minisrv")
        with require.finding("minisrv", "x") as finding:
            for cause in causes:
                finding.caught(cause)
        for cause in causes:
            require.unknown("other", cause.reason, because_of(cause, "AUTH-001"))

        assert {each.verdict for each in require.findings} == {verdict}
        assert {each.because for each in require.findings} == {None}


def test_probe_that_failed_is_still_an_error():
    """Only a host of which the site file says so is left alone."""
    site, facts = hosts_of(
        {"op": "add", "path": "/minisrv/failures/link", "value": {"kind": "absent", "reason": "not run"}}
    )
    after = judged(site, facts)

    assert after["NET-004@minisrv/minisrv"].verdict is Verdict.ERROR
    assert "no-login" not in {each.kind for each in notices_of(facts, after.values())}


def test_scan_shows_the_notices_everywhere(tmp_path, capsys):
    """In the terminal, in findings.json and in the HTML report. The exit code stays."""
    hostile = {**NEW, "value": ["etag", "<script>alert(1)</script>\x1b[2J"]}
    options = saved(tmp_path, hostile)

    assert main.main(["scan", *options, "-v"]) == 0

    shown = capsys.readouterr().out
    run = json.loads((tmp_path / "out" / "latest" / "findings.json").read_text())
    page = (tmp_path / "out" / "latest" / "report.html").read_text()
    assert "Notice: Incus on sigsrv, minisrv is newer than sigsrv knows" in " ".join(shown.split())
    assert "\x1b[2J" not in shown
    assert [each["kind"] for each in run["notices"]] == ["newer-incus"]
    assert run["notices"][0]["hosts"] == ["sigsrv", "minisrv"]
    assert 'id="notice-newer-incus"' in page
    assert "<script>alert" not in page


def test_compliant_scan_with_a_notice_prints_nothing(tmp_path, capsys):
    """Otherwise a newer Incus would send a mail each night."""
    assert main.main(["scan", *saved(tmp_path, NEW)]) == 0
    assert capsys.readouterr().out == ""


def test_extensions_of_the_demo_are_known():
    """They come from a real daemon."""
    kept = evidence.load(data.DEMO / "evidence")
    listed = {name for host in kept.values() for name in host.api[urls.SERVER].metadata["api_extensions"]}

    assert len(listed) > 400
    assert listed <= incus_keys.extensions()
