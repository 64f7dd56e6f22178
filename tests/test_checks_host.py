"""Tests the checks of HOST: the texts of findings."""

from __future__ import annotations

import pytest

from sigsrv.authoring import document
from sigsrv.judge.checks import load_checks
from sigsrv.judge.evaluate import evaluate
from sigsrv.model import data, policy

POLICIES = policy.load()
CHECKS = load_checks(data.folder("checks"))
HOST = [each for each in POLICIES.values() if each.id.startswith("HOST")]
INPUT = "inet host input"
FROM_ANY = {"payload": {"protocol": "ip", "field": "saddr"}}


def found_on(content, policy_id):
    found = {each.id: each for each in evaluate(HOST, CHECKS, *document.facts_of(content))}
    return found[f"{policy_id}@minisrv/minisrv"]


def observed(content, policy_id):
    return found_on(content, policy_id).observed.split("; ")


def test_missing_security_archive_is_named_by_release():
    """The sources still name the archive of the release before. It does not count."""
    content = document.document()
    content["minisrv"]["probes"]["apt-releases"] = "".join(
        f"/var/lib/apt/lists/x_InRelease:{field}\n"
        for field in ("Label: Debian-Security", "Codename: bookworm-security", "Date: Wed, 18 Nov 2026 02:00:00 UTC")
    )

    assert observed(content, "HOST-010")[0] == "apt has no list of a security archive of trixie"


def test_system_for_the_next_boot_is_shown_with_the_running_one():
    """The finding shows their paths in the Nix store, which contain the versions."""
    content = document.document()
    content["minisrv"]["probes"] |= {
        "os-release": "ID=nixos\n",
        "nixos": '{"nixosVersion":"25.11.20261110.abcdef0"}\n1794990000\n'
        "/nix/store/a-linux/bzImage\n/nix/store/a-linux/bzImage\n/nix/store/d-nixos\n/nix/store/c-nixos\n",
    }

    shown = "/nix/store/c-nixos runs, /nix/store/d-nixos is the system for the next boot"
    assert shown in observed(content, "HOST-010")


def nixos(for_new):
    """Return the rule of the NixOS firewall that branches by connection state, as nft 1.0.6 prints it."""
    verdicts = [
        ["invalid", {"drop": None}],
        ["established", {"accept": None}],
        ["new", for_new],
        ["untracked", for_new],
    ]
    return [{"vmap": {"key": {"ct": {"key": "state"}}, "data": {"set": verdicts}}}]


@pytest.mark.parametrize(
    ("rules", "said"),
    [
        ([[{"xt": {"type": "match", "name": "comment"}}, {"accept": None}]], "no chain refuses incoming IPv4 and IPv6"),
        (
            [
                [
                    {"match": {"op": "==", "left": FROM_ANY, "right": {"prefix": {"addr": "0.0.0.0", "len": 0}}}},
                    {"accept": None},
                ]
            ],
            "no chain refuses incoming IPv4",
        ),
        (
            [[{"match": {"op": "==", "left": {"meta": {"key": "nfproto"}}, "right": "ipv6"}}, {"accept": None}]],
            "no chain refuses incoming IPv6",
        ),
        ([], "inet host input refuses the rest"),
        ([nixos({"jump": {"target": "allow"}})], "no chain refuses incoming IPv4 and IPv6"),
        ([nixos({"accept": None})], "no chain refuses incoming IPv4 and IPv6"),
        ([nixos({"drop": None})], "inet host input refuses the rest"),
    ],
)
def test_address_family_that_a_rule_accepts_is_named(rules, said):
    """If a rule accepts all addresses of one family, the chain policy still decides about the other."""
    content = document.document()
    content["minisrv"]["nft"][INPUT]["rules"] = rules
    content["minisrv"]["nft"]["inet host allow"] = {"rules": [[{"accept": None}]]}

    assert said in observed(content, "HOST-004")


def test_open_sockets_are_shown_if_there_is_no_firewall():
    """They are what the network can reach. If they can't be read, the finding still fails, and its reason says so."""
    content = document.document()
    del content["minisrv"]["nft"][INPUT]

    assert found_on(content, "HOST-004").reason.startswith("open sockets: ")

    content["minisrv"]["failures"]["listen"] = {"kind": "timeout", "reason": "ss did not end"}
    found = found_on(content, "HOST-004")
    assert (found.verdict, found.reason) == ("fail", "unknown: ss did not end; to see it: ssh minisrv listen")


def test_part_that_could_not_be_read_hides_no_fault():
    """The finding shows the fault, then what is as it should be; its reason names what is unknown."""
    content = document.document()
    content["minisrv"]["units"]["incus.service"] |= {"UnitFileState": "masked"}
    content["minisrv"]["failures"]["api"] = {"kind": "silent", "reason": "no answer"}

    found = found_on(content, "HOST-002")

    assert (found.verdict, found.reason) == ("fail", "unknown: no answer")
    assert (
        found.observed
        == "incus.service is masked; incus.service is active (running); a target starts incus.socket at boot"
    )


def test_clock_that_is_synchronized_and_wrong_has_a_hint():
    """Probably the clock of the machine that scans is wrong. Without an answer of timedatectl, the finding still fails."""
    content = document.document()
    content["minisrv"]["probes"] |= {"clock-begin": "1795003600.100000000\n", "clock-end": "1795003600.900000000\n"}

    found = found_on(content, "HOST-007")
    assert found.observed.endswith(
        " s from the clock of the machine that scans (which is wrong if all hosts differ alike); the host clock is synchronized"
    )

    content["minisrv"]["failures"]["time-sync"] = {"kind": "timeout", "reason": "no end in 5 s"}
    found = found_on(content, "HOST-007")
    assert (found.verdict, found.reason.split(";")[0]) == ("fail", "unknown: no end in 5 s")
