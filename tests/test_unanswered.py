"""Tests that everything which a host does not answer for one cause is one root finding, and that the reports show it as one block.

The evidence is that of the clean lab in namespaces, with answers replaced by what a host without a right, without a program or without
its database gives. tests/e2e/test_unanswered.py sees the same on the lab.
"""

from __future__ import annotations

import dataclasses
import json
import re
from collections.abc import Callable, Mapping
from functools import cache, partial
from pathlib import Path

import pytest

from sigsrv.collect import evidence, urls
from sigsrv.collect.evidence import Answer, ApiAnswer, Evidence, Failure
from sigsrv.collect.probes import TABLE
from sigsrv.collect.refusals import is_refused, refusal_message, refused_account
from sigsrv.facts.hosts import HostFacts
from sigsrv.judge.evaluate import evaluate
from sigsrv.model import site_file
from sigsrv.model.errors import FailureKind
from sigsrv.model.finding import Finding, Verdict
from tests.called import sigsrv
from tests.judged import CHECKS, CLEAN, POLICIES

FOLDER = CLEAN / "ns"
SITE = site_file.load(FOLDER / "site.yaml", POLICIES)
SAVED = evidence.load(FOLDER)
ROOT_PROBES = frozenset(probe.id for probe in TABLE if probe.root)
DATABASE = (*urls.WANTED, urls.INSTANCES_CONFIG)
SORRY = "Sorry, user audit is not allowed to execute '{}' as root on minisrv."
Change = Callable[[Evidence], Evidence]


def without(kept: Evidence, failure: Failure, *names: str, status: int | None = None) -> Evidence:
    """Return evidence in which some probes and URLs have a failure."""
    probes = {key: Answer(each.command, failure=failure) if key in names else each for key, each in kept.probes.items()}
    api = {key: ApiAnswer(status, failure=failure) if key in names else each for key, each in kept.api.items()}
    return dataclasses.replace(kept, probes=probes, api=api)


def refused(kept: Evidence, message: str = "sudo: a password is required", api: bool = True) -> Evidence:
    """Return the evidence of an account without any right: sudo refuses everything, and the socket too."""
    probes = {
        key: Answer(each.command, 1, "", message.format(each.command)) if key in ROOT_PROBES else each
        for key, each in kept.probes.items()
    }
    reason = (
        f"Incus API on {kept.host}: no permission for /var/lib/incus/unix.socket (use root or an account in group incus-admin); "
        f"Incus API on {kept.host}: {refusal_message(message.format('/usr/bin/incus query --raw /1.0'))}"
    )
    denied = {url: ApiAnswer(failure=Failure(FailureKind.DENIED, reason)) for url in (urls.SERVER, *urls.WANTED)}
    return dataclasses.replace(kept, probes=probes, api=denied if api else kept.api)


def leaderless(kept: Evidence) -> Evidence:
    """Return the evidence of a daemon whose database has no leader. It takes the whole time of the host."""
    found = without(
        kept, Failure(FailureKind.GARBLED, "HTTP 503: no available cowsql leader server found"), *DATABASE, status=503
    )
    return without(found, Failure(FailureKind.TIMEOUT, f"minisrv: not run: {evidence.EXPIRED} first"), "apt-upgrade")


def down(kept: Evidence) -> Evidence:
    """Return the evidence of a host whose daemon is stopped."""
    failure = Failure(FailureKind.DOWN, f"Incus API on {kept.host}: nothing answers")
    return dataclasses.replace(kept, api={url: ApiAnswer(failure=failure) for url in (urls.SERVER, *urls.WANTED)})


def silent(kept: Evidence) -> Evidence:
    failure = Failure(FailureKind.SILENT, "Incus API /1.0: no answer in 5 s")
    return dataclasses.replace(kept, api={url: ApiAnswer(failure=failure) for url in (urls.SERVER, *urls.WANTED)})


def unreachable(kept: Evidence) -> Evidence:
    return Evidence(kept.host, kept.collected, failure=Failure(FailureKind.TIMEOUT, f"{kept.host}: no answer in 15 s"))


def judge(**changes: Change) -> dict[str, Finding]:
    """Return the findings by id. changes: by host."""
    kept = {name: changes.get(name, lambda same: same)(each) for name, each in SAVED.items()}
    facts = {host.name: HostFacts(host.name, host.member, kept[host.name]) for host in SITE.hosts}
    return {each.id: each for each in evaluate(POLICIES.values(), CHECKS, SITE, facts)}


@cache
def clean() -> Mapping[str, Finding]:
    return judge()


def errors(found: Mapping[str, Finding]) -> dict[str, Finding]:
    return {key: each for key, each in found.items() if each.verdict is Verdict.ERROR}


def causes(found: Mapping[str, Finding]) -> set[str | None]:
    """Return the root findings of all errors, without the errors that have none."""
    return {each.because for each in errors(found).values() if each.because}


def lone(found: Mapping[str, Finding]) -> set[str]:
    """Return the errors without a root finding."""
    return {key for key, each in errors(found).items() if each.because is None}


def dangling(found: Mapping[str, Finding]) -> list[str]:
    """Return the errors whose root finding reports nothing."""
    reports = (Verdict.FAIL, Verdict.ERROR)
    return [key for key, each in errors(found).items() if each.because and found[each.because].verdict not in reports]


BOTH = {"HOST-011@sigsrv/sigsrv", "HOST-011@minisrv/minisrv"}


@pytest.mark.parametrize(
    ("changes", "roots"),
    [
        ({"sigsrv": refused, "minisrv": refused}, BOTH),
        ({"minisrv": partial(refused, api=False)}, {"HOST-011@minisrv/minisrv"}),
        ({"minisrv": partial(refused, message=SORRY)}, {"HOST-011@minisrv/minisrv"}),
        ({"minisrv": leaderless}, {"HOST-011@minisrv/minisrv"}),
        ({"sigsrv": unreachable}, {"HOST-001@sigsrv/sigsrv"}),
        ({"sigsrv": silent}, {"HOST-002@sigsrv/sigsrv"}),
        ({"sigsrv": silent, "minisrv": leaderless}, {"HOST-002@sigsrv/sigsrv"}),
        ({"sigsrv": unreachable, "minisrv": leaderless}, {"HOST-001@sigsrv/sigsrv"}),
        ({"sigsrv": down, "minisrv": leaderless}, set()),  # a failure is their root
    ],
)
def test_all_unknowns_of_one_cause_have_one_root_on_each_host(changes, roots):
    """Only the roots have no root themselves. Nothing passes that did not pass before, and every root reports something."""
    found = judge(**changes)

    assert lone(found) == roots
    assert dangling(found) == []
    passed = {key for key, each in found.items() if each.verdict is Verdict.PASS}
    assert passed <= {key for key, each in clean().items() if each.verdict is Verdict.PASS}


@pytest.mark.parametrize("kind", list(FailureKind))
@pytest.mark.parametrize("place", ["nft", "link", urls.NETWORKS, urls.INSTANCES, urls.WARNINGS, "filesystems"])
def test_single_failure_has_the_root_of_its_host(place, kind):
    """This holds for each reason why an answer may be missing. The daemon that answered the rest is not down."""
    if kind is FailureKind.WRONG_MEMBER:
        pytest.skip("the daemon's name shows that, and no failure has this kind")
    if kind is FailureKind.NO_LOGIN:
        pytest.skip("the site file wants it so for all probes of a host: a notice, and no failure")
    found = judge(minisrv=lambda kept: without(kept, Failure(kind, "it is lost"), place))

    assert lone(found) == {"HOST-011@minisrv/minisrv"}
    assert causes(found) <= {"HOST-011@minisrv/minisrv"}
    assert "it is lost" in found["HOST-011@minisrv/minisrv"].reason
    assert {key for key, each in found.items() if each.verdict is Verdict.ERROR and "@sigsrv/" in key} == set()


def test_lost_leader_follows_from_the_member_whose_daemon_is_down():
    """The chain ends at the failure that a fix ends: HOST-002 of the other member. What was not asked any more follows too."""
    found = judge(sigsrv=down, minisrv=leaderless)
    root = found["HOST-011@minisrv/minisrv"]

    assert found["HOST-002@sigsrv/sigsrv"].verdict is Verdict.FAIL
    assert (root.verdict, root.because) == (Verdict.ERROR, "HOST-002@sigsrv/sigsrv")
    assert "can't read the database of the cluster" in root.reason
    assert "1 not asked any more" in root.reason
    assert root.hints == ("ssh sigsrv systemctl status incus.service",)
    assert found["HOST-010@minisrv/minisrv"].because == root.id
    assert found["POOL-001@minisrv/minisrv"].because == root.id


def test_lost_leader_does_not_hide_a_second_cause_on_its_host():
    """A refused nft would still be refused if the leader were back. So the finding of this host is a root itself."""
    found = judge(sigsrv=down, minisrv=lambda kept: refused(leaderless(kept), api=False))

    assert lone(found) == {"HOST-011@minisrv/minisrv"}
    assert found["HOST-011@minisrv/minisrv"].hints[0] == "sigsrv probes --sudoers USER"


def test_daemon_that_waits_for_another_member_is_not_without_a_database():
    """The state of instances and the operations come from the other members. Their daemon does not answer."""
    late = Failure(FailureKind.TIMEOUT, "no answer in 5 s")
    found = judge(sigsrv=lambda kept: without(kept, late, urls.INSTANCES, urls.OPERATIONS), minisrv=silent)

    assert "waits for other members" in found["HOST-011@sigsrv/sigsrv"].reason
    assert found["HOST-011@sigsrv/sigsrv"].because == "HOST-002@minisrv/minisrv"


def test_missing_rights_are_named_once_with_the_command_that_gives_them():
    """The account's name is in sudo's own message, or it is left to the reader. There is no command that would be refused too."""
    unnamed = judge(minisrv=refused)["HOST-011@minisrv/minisrv"]
    named = judge(minisrv=partial(refused, message=SORRY))["HOST-011@minisrv/minisrv"]

    programs, _, reasons = unnamed.reason.removeprefix("refused: ").partition(" (")
    assert set(programs.split(", ")) == {"df", "grep", "journalctl", "nft", "sshd", "incus"}
    assert reasons == "sudo: a password is required); incus (no permission for /var/lib/incus/unix.socket)"
    assert unnamed.hints == ("sigsrv probes --sudoers USER",)
    assert named.hints == ("sigsrv probes --sudoers audit",)
    assert named.reason.count("Sorry") == 1
    assert [key for key, each in errors(judge(minisrv=refused)).items() if "to see it" in each.reason] == []


def test_daemon_that_does_not_trust_the_client_is_no_case_for_sudo():
    """Its HTTP status says so: a restricted certificate."""
    forbidden = Failure(FailureKind.DENIED, "Incus API /1.0/warnings?recursion=1: HTTP 403: Forbidden")
    found = judge(minisrv=lambda kept: without(kept, forbidden, urls.WARNINGS, status=403))

    assert found["HOST-011@minisrv/minisrv"].hints == ("incus config trust list",)


def test_command_that_printed_something_was_not_refused():
    """df and find report what they may not read beside what they read. That is no missing right of the account."""

    def beside(kept: Evidence) -> Evidence:
        answer = kept.probes["filesystems"]
        part = dataclasses.replace(answer, rc=1, stderr="df: /mnt/x: Operation not permitted")
        return dataclasses.replace(kept, probes={**kept.probes, "filesystems": part})

    found = judge(minisrv=beside)
    assert found["HOST-011@minisrv/minisrv"].verdict is Verdict.PASS
    assert found["HOST-006@minisrv//mnt/x"].verdict is Verdict.ERROR


@pytest.mark.parametrize(
    ("message", "account"),
    [
        ("sudo: a password is required", ""),
        ("Sorry, user audit is not allowed to execute '/usr/sbin/nft -j list ruleset' as root on minisrv.", "audit"),
        ("audit is not in the sudoers file.", "audit"),
        ("sudo: interactive authentication is required", ""),
        ("I'm sorry audit. I'm afraid I can't do that", "audit"),
        ("sudo: sorry, you must have a tty to run sudo", ""),
        ("sudo: account validation failure, is your account locked?", ""),
        ("sudo: /run/current-system/sw/bin/sudo must be owned by uid 0 and have the setuid bit set", ""),
        ("Permission denied the ZFS utilities must be run as root.", ""),
        ("Sorry, user $(reboot) is not allowed to execute 'x' as root on minisrv.", ""),
    ],
)
def test_refusals_are_recognized_in_the_words_of_each_program(message, account):
    """A name that is no name of an account is never shown as a part of a command."""
    assert is_refused(message)
    assert refused_account(message) == account


def test_exemption_of_the_root_silences_nothing():
    """An error is never exempt, and what follows from it stays an error."""
    desired = dataclasses.replace(SITE, exempt={**SITE.exempt, "HOST-011": SITE.exempt["PROJ-001"]})
    facts = {host.name: HostFacts(host.name, host.member, refused(SAVED[host.name])) for host in SITE.hosts}
    exempt = evaluate(POLICIES.values(), CHECKS, desired, facts)

    assert {each.id: each.verdict for each in exempt} == {
        key: each.verdict for key, each in judge(sigsrv=refused, minisrv=refused).items()
    }


def scan(folder: Path, **changes: Change) -> tuple[str, dict]:
    """Save evidence and scan it as a user does; return what the terminal shows, and the run."""
    kept = {name: changes.get(name, lambda same: same)(each) for name, each in SAVED.items()}
    evidence.save(folder / "evidence", "run", kept)
    argv = ("--site", FOLDER / "site.yaml", "--evidence", folder / "evidence", "--report-dir", folder / "out")
    done = sigsrv("scan", *map(str, argv))
    assert done.returncode == 3, done.stderr
    return done.stdout, json.loads((folder / "out" / "latest" / "findings.json").read_text())


def test_scan_of_an_account_without_any_right_fits_on_a_screen(tmp_path):
    """At most 25 lines of at most 80 columns: each root with the number of findings behind it, and what to do."""
    shown, run = scan(tmp_path, sigsrv=refused, minisrv=refused)
    lines = [line for line in shown.splitlines() if not line.startswith("this run is of saved evidence")]

    assert len(lines) <= 25
    assert [line for line in lines if len(line) > 80 and not line.startswith("report: ")] == []
    assert lines.count("      sigsrv probes --sudoers USER") == 2
    behind = {root: sum(each["because"] == root for each in run["findings"]) for root in BOTH}
    assert [line for line in lines if "depend on it" in line] == [
        f"      {behind[root]} findings depend on it" for root in sorted(BOTH)
    ]
    assert sum(behind.values()) + len(BOTH) == run["summary"]["error"]
    page = (tmp_path / "out" / "latest" / "report.html").read_text()
    section = page[page.index('<section class="verdict error"') :]
    assert section.count('<article class="finding item"') == len(BOTH)
    assert section.count('<code class="paste">sigsrv probes --sudoers USER</code>') == len(BOTH)
    assert {f"{number} findings depend on this one" for number in behind.values()} <= set(
        re.findall(r"\d+ findings depend on this one", section)
    )


def test_unknowns_without_a_root_that_have_one_reason_are_shown_together(tmp_path):
    """An answer that came and can't be understood has no root. Its reason is shown once for each severity, in both reports."""

    def odd(kept: Evidence) -> Evidence:
        answer = dataclasses.replace(kept.probes["link"], stdout="[]\n")
        return dataclasses.replace(kept, probes={**kept.probes, "link": answer})

    shown, run = scan(tmp_path, minisrv=odd)
    unknown = [each for each in run["findings"] if each["verdict"] == "error"]
    page = (tmp_path / "out" / "latest" / "report.html").read_text()

    assert len(unknown) > 5
    assert {each["because"] for each in unknown} == {None}
    groups = {
        (each["severity"], each["reason"], each["observed"]) for each in unknown
    }  # one that shows something stays alone
    assert shown.count("      reason: ") == len(groups)
    assert [each["id"] for each in unknown if f"    {each['id']}\n" not in shown] == []
    assert "findings for the same reason" in page


def test_host_whose_probe_was_refused_is_limited(tmp_path):
    """Its state says so, and its unread probes are listed, although each of them ended with an exit status."""
    shown, run = scan(tmp_path, minisrv=lambda kept: refused(kept, api=False))
    states = {host["name"]: (host["state"], host["failed_probes"]) for host in run["run"]["hosts"]}

    assert states["sigsrv"] == ("ok", [])
    assert states["minisrv"] == ("limited", sorted(ROOT_PROBES & SAVED["minisrv"].probes.keys()))
    assert "minisrv  limited" in shown
    assert f"{len(states['minisrv'][1])} not read" in shown


def test_daemon_in_no_cluster_is_wholly_read():
    """It refuses to list the members of its cluster. That is no missing answer."""

    def alone(kept: Evidence) -> Evidence:
        server = json.loads(json.dumps(kept.api[urls.SERVER].metadata))
        server["environment"]["server_clustered"] = False
        refusal = ApiAnswer(500, failure=Failure(FailureKind.GARBLED, "HTTP 500: Node is not clustered"))
        return dataclasses.replace(kept, api={**kept.api, urls.SERVER: ApiAnswer(200, server), urls.MEMBERS: refusal})

    assert judge(minisrv=alone)["HOST-011@minisrv/minisrv"].verdict is Verdict.PASS
