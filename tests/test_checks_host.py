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


def observed(content, policy_id):
    found = {each.id: each for each in evaluate(HOST, CHECKS, *document.facts_of(content))}
    return found[f"{policy_id}@minisrv/minisrv"].observed


def test_missing_security_archive_is_named_by_release():
    """The sources still name the archive of the release before. It does not count."""
    content = document.document()
    content["minisrv"]["probes"]["apt-releases"] = "".join(
        f"/var/lib/apt/lists/x_InRelease:{field}\n"
        for field in ("Label: Debian-Security", "Codename: bookworm-security", "Date: Wed, 18 Nov 2026 02:00:00 UTC")
    )

    assert observed(content, "HOST-010") == "apt has no list of a security archive of trixie"


def test_system_for_the_next_boot_is_shown_with_the_running_one():
    """The finding shows their paths in the Nix store, which contain the versions."""
    content = document.document()
    content["minisrv"]["probes"] |= {
        "os-release": "ID=nixos\n",
        "nixos": '{"nixosVersion":"25.11.20261110.abcdef0"}\n1794990000\n'
        "/nix/store/a-linux/bzImage\n/nix/store/a-linux/bzImage\n/nix/store/d-nixos\n/nix/store/c-nixos\n",
    }

    assert (
        observed(content, "HOST-010") == "/nix/store/c-nixos runs, /nix/store/d-nixos is the system for the next boot"
    )


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
        ([[{"xt": {"type": "match", "name": "comment"}}, {"accept": None}]], "incoming IPv4 and IPv6 (open sockets"),
        (
            [
                [
                    {"match": {"op": "==", "left": FROM_ANY, "right": {"prefix": {"addr": "0.0.0.0", "len": 0}}}},
                    {"accept": None},
                ]
            ],
            "incoming IPv4 (open sockets",
        ),
        (
            [[{"match": {"op": "==", "left": {"meta": {"key": "nfproto"}}, "right": "ipv6"}}, {"accept": None}]],
            "incoming IPv6 (",
        ),
        ([], "inet host input refuses the rest"),
        ([nixos({"jump": {"target": "allow"}})], "incoming IPv4 and IPv6 (open sockets"),
        ([nixos({"accept": None})], "incoming IPv4 and IPv6 (open sockets"),
        ([nixos({"drop": None})], "inet host input refuses the rest"),
    ],
)
def test_address_family_that_a_rule_accepts_is_named(rules, said):
    """If a rule accepts all addresses of one family, the chain policy still decides about the other."""
    content = document.document()
    content["minisrv"]["nft"][INPUT]["rules"] = rules
    content["minisrv"]["nft"]["inet host allow"] = {"rules": [[{"accept": None}]]}

    assert said in observed(content, "HOST-004")
