"""Tests the command ``sigsrv facts``."""

from __future__ import annotations

import json

import pytest

from sigsrv.authoring.fact_values import find
from tests.called import sigsrv
from tests.saved import saved

DEMO = ("facts", "--evidence", "demo")
REFUSED = {"op": "add", "path": "/minisrv/failures/link", "value": {"kind": "denied", "reason": "refused"}}


def options_with(folder, *changes):
    """Return the options for the example document of the policies, with some changes."""
    evidence, path, site, where, *_ = saved(folder, *changes)
    return ("facts", evidence, path, site, where)


def test_help_fits_a_terminal_and_ends_with_the_exit_statuses():
    """It also shows an example."""
    done = sigsrv("facts", "--help", COLUMNS="80")

    assert done.returncode == 0
    assert max(len(line) for line in done.stdout.splitlines()) <= 80
    assert "exit status: 0 printed, 2 wrong use" in done.stdout
    assert "example: sigsrv facts --evidence demo" in done.stdout
    assert "  facts" in sigsrv("--help", COLUMNS="80").stdout


@pytest.mark.parametrize("columns", ["60", "80", "140"])
def test_without_a_path_each_fact_has_a_description(columns):
    """The lines fit the width of the terminal."""
    done = sigsrv(*DEMO, COLUMNS=columns)

    assert done.returncode == 0
    assert max(len(line) for line in done.stdout.splitlines()) <= int(columns)
    assert "Facts of a host\n" in done.stdout
    assert "Facts of the cluster\n" in done.stdout
    assert "  network            Links, bridges and addresses" in done.stdout


def test_a_path_gives_the_value_on_each_host():
    """Quotation marks distinguish a text from a number, because a check must do so too."""
    done = sigsrv(*DEMO, "network.links.sigsrvbr0.mtu")

    assert (done.returncode, done.stdout) == (0, "sigsrv: 1500\nminisrv: 1500\n")
    assert sigsrv(*DEMO, "network.links.lo.kind", "--host", "minisrv").stdout == 'minisrv: ""\n'


@pytest.mark.parametrize("path", ['facts.network.links["sigsrvbr0"].mtu', "network.links['sigsrvbr0'].mtu"])
def test_a_path_may_be_pasted_from_a_check(path):
    """The path may contain brackets and begin with ``facts.``."""
    assert sigsrv(*DEMO, path, "--host", "sigsrv").stdout == "sigsrv: 1500\n"


def test_a_record_is_indented_text():
    """It contains all facts of the record, including computed ones."""
    done = sigsrv(*DEMO, "network.links.user0", "--host", "sigsrv")

    assert done.stdout.splitlines()[:4] == ["sigsrv:", '  name: "user0"', '  kind: "vlan"', "  mtu: 1500"]
    assert '  tag: "802.1Q VLAN 24"' in done.stdout


def test_keys_may_contain_dots_and_a_path_selects_records_by_name_or_number():
    """The longest matching key is used."""
    one = sigsrv(*DEMO, "incus.projects.default.config.features.images", "--host", "sigsrv")
    other = sigsrv(*DEMO, "incus.projects.0.config.features.images", "--host", "sigsrv")

    assert one.stdout == other.stdout == 'sigsrv: "true"\n'
    assert sigsrv(*DEMO, "instances.default/capped.0.type", "--host", "sigsrv").stdout == 'sigsrv: "container"\n'


def test_the_longer_of_two_matching_keys_is_used():
    """Configuration keys are words separated by dots."""
    assert find({"a": {"b": 1}, "a.b": 2}, ["a", "b"]) == 2
    assert find({"a": {"b": 1}}, ["a", "b"]) == 1


def test_a_fact_of_the_cluster_is_shown_for_the_cluster():
    """If hosts and cluster have the fact, both are printed. If only the cluster has it, only the cluster is printed."""
    both = sigsrv(*DEMO, "incus.server.version")
    assert both.stdout == 'sigsrv: "6.0.4"\nminisrv: "6.0.4"\ncluster: "6.0.4"\n'
    assert sigsrv(*DEMO, "hosts").stdout == 'cluster:\n  sigsrv: "sigsrv"\n  minisrv: "minisrv"\n'
    assert sigsrv(*DEMO, "incus.server.version", "--host", "cluster").stdout == 'cluster: "6.0.4"\n'


def test_a_fact_that_cannot_be_read_says_why(tmp_path):
    """The exit status is 3, even if only one of many facts or hosts cannot be read."""
    done = sigsrv(*options_with(tmp_path, REFUSED), "network.links.userbr0.mtu")
    assert (done.returncode, done.stdout) == (3, "sigsrv: 1500\nminisrv: unknown: refused\n")

    nested = sigsrv(*DEMO, "frames", "--host", "sigsrv")
    assert nested.returncode == 3
    assert nested.stdout == "sigsrv:\n  were_sent: False\n  sent: unknown: sigsrv: this evidence has no probe frames\n"


def test_a_path_that_one_host_lacks_is_not_wrong_use(tmp_path):
    """The other hosts have the fact. If no host has it, the message suggests the most similar name."""
    options = options_with(tmp_path, {"op": "remove", "path": "/minisrv/links/userbr0"})

    assert sigsrv(*options, "network.links.userbr0.mtu").stdout == "sigsrv: 1500\n"
    done = sigsrv(*options, "network.links.userbr9.mtu")
    assert done.returncode == 2
    assert 'error: network.links has no "userbr9"' in done.stderr


@pytest.mark.parametrize(
    ("arguments", "error", "hint"),
    [
        (["netwrk"], "there is no fact netwrk", 'did you mean "network"?'),
        (["network.link"], "there is no fact network.link", 'did you mean "links"?'),
        (["network.links.lo.mut"], "network.links.lo: there is no fact mut", 'did you mean "mtu"?'),
        (["network.links.sigbr0.mtu"], 'network.links has no "sigbr0"', 'did you mean "sigsrvbr0"?'),
        (["network.links.lo.mtu.x"], "network.links.lo.mtu has no facts below it", ""),
        (["network", "--host", "minsrv"], 'there is no host "minsrv"', 'did you mean "minisrv"?'),
        (["--host", "minsrv"], 'there is no host "minsrv"', 'did you mean "minisrv"?'),
        (["network", "--host", "cluster"], "this is a fact of a host, not of cluster", "--host sigsrv"),
        (["hosts", "--host", "sigsrv"], "this is a fact of a cluster, not of sigsrv", "--host cluster"),
        (["storage.zpool"], "storage.zpool takes arguments: zpool(name: str)", "call it in a check"),
        (["network..links"], '"network..links" is not a path of facts', "for example network.links"),
        ([""], '"" is not a path of facts', "for example network.links"),
        (["\x1b[31m"], r"\x1b[31m", ""),
    ],
)
def test_wrong_use_names_the_nearest(arguments, error, hint):
    """Exit status 2, one line and a hint; nothing on standard output."""
    done = sigsrv(*DEMO, *arguments)

    assert (done.returncode, done.stdout) == (2, "")
    assert error in done.stderr
    assert hint in done.stderr
    assert "\x1b" not in done.stderr


def test_evidence_is_needed():
    """The command contacts no host."""
    done = sigsrv("facts", "network")

    assert done.returncode == 2
    assert "--evidence" in done.stderr


def test_text_of_a_host_cannot_control_the_terminal(tmp_path):
    """Keys, values and reasons are shown with escapes."""
    key = {"op": "add", "path": "/cluster/instances/db/config/a\x1b[31m", "value": "b\u202e\nc"}
    reason = {"op": "add", "path": "/minisrv/failures/link", "value": {"kind": "denied", "reason": "d\x1be"}}
    options = options_with(tmp_path, key, reason)

    done = sigsrv(*options, "incus.instances.default/db.config", "--host", "sigsrv")
    assert r'a\x1b[31m: "b\u202e\nc"' in done.stdout
    assert sigsrv(*options, "network.links", "--host", "minisrv").stdout == "minisrv: unknown: d\\x1be\n"


def test_json_is_for_programs(tmp_path):
    """JSON has one key for each host. A fact that cannot be read is an object with the reason."""
    done = sigsrv(*options_with(tmp_path, REFUSED), "network.links.userbr0.flags", "--json")

    assert done.returncode == 3
    found = json.loads(done.stdout)
    assert found["minisrv"] == {"unknown": "refused"}
    assert "UP" in found["sigsrv"]
    assert set(json.loads(sigsrv(*DEMO, "--json").stdout)) == {"host", "cluster"}


def test_every_fact_of_every_host_can_be_printed():
    """No record contains itself without end, and each kind of value has a text form."""
    listed = json.loads(sigsrv(*DEMO, "--json").stdout)

    for name in {*listed["host"], *listed["cluster"]} - {
        "volumes",
        "users",
        "host_of",
        "leaves_out",
        "unlocated_volumes",
    }:
        done = sigsrv(*DEMO, name)
        assert done.returncode in (0, 3), done.stderr
        assert done.stdout
