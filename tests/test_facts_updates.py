"""Updates, kernels and the journal, read from recorded output."""

from __future__ import annotations

import pytest

from sigsrv.collect.evidence import Answer, Evidence
from sigsrv.facts import journal, updates
from sigsrv.facts.journal import JournalFacts
from sigsrv.facts.updates import Kernel
from sigsrv.model.errors import EvidenceError

LISTS = "/var/lib/apt/lists/"
# apt 2.6 of Debian 12: a kernel that comes as a new package, one on hold, one that a point release overtook
UPGRADE = """\
NOTE: This is only a simulation!
Reading package lists...
Calculating upgrade...
The following NEW packages will be installed:
  kern-2
The following packages have been kept back:
  kept other
The following held packages will be changed:
  held
The following packages will be upgraded:
  held kern
2 upgraded, 1 newly installed, 0 to remove and 2 not upgraded.
Inst held [1.0] (1.1 Debian-Security:12/stable-security [amd64])
Inst kern-2 (2 Debian-Security:12/stable-security [amd64]) []
Inst kern [1.0] (2 Debian:12.9/stable, Debian:12-updates/stable-updates [all]) [kern-2:amd64 ]
Conf held (1.1 Debian-Security:12/stable-security [amd64])
"""
NIX = '{"nixosVersion":"25.05.20260102.ac62194","nixpkgsRevision":"x"}\n1795000000\n/nix/store/a/bzImage\n/nix/store/b/bzImage\n'
NIX += "/nix/store/next-nixos\n/nix/store/now-nixos\n"


def test_an_archive_says_itself_what_it_is_and_when_it_was_made():
    """Debian's by its label, Ubuntu's by the name of its suite; a field's second appearance counts for nothing."""
    found = updates.releases(
        f"{LISTS}a_InRelease:Label: Debian-Security\n"
        f"{LISTS}a_InRelease:Date: Mon, 23 Nov 2026 17:51:56 UTC\n"
        f"{LISTS}a_InRelease:Date: Mon, 23 Nov 2099 17:51:56 UTC\n"
        f"{LISTS}b_Release:Suite: noble-security\n{LISTS}b_Release:Date: Mon, 23 Nov 2026 18:51:56 +0100\n"
        f"{LISTS}c_Release:Suite: noble-updates\n{LISTS}c_Release:Date: Mon, 23 Nov 2026 17:51:56 UTC\n"
    )

    assert [(each.file, each.is_security, each.made) for each in found] == [
        ("a_InRelease", True, 1795456316.0),
        ("b_Release", True, 1795456316.0),
        ("c_Release", False, 1795456316.0),
    ]


@pytest.mark.parametrize(
    ("fields", "release"),
    [
        ("Label: Debian-Security|Suite: stable-security|Codename: trixie-security", "trixie"),
        ("Label: Debian-Security|Suite: oldstable-security|Codename: bookworm-security", "bookworm"),
        ("Label: Ubuntu|Suite: noble-security|Codename: noble", "noble"),
        ("Label: UbuntuESM|Suite: noble-infra-security|Codename: noble", ""),
        ("Label: Debian|Suite: stable-updates|Codename: trixie-updates", ""),
    ],
)
def test_an_archive_for_security_is_that_of_one_release(fields, release):
    """One of the release before brings no update for this one, however young it is."""
    lines = [f"{LISTS}a_InRelease:{field}\n" for field in (*fields.split("|"), "Date: Mon, 23 Nov 2026 17:51:56 UTC")]
    (found,) = updates.releases("".join(lines))

    assert [name for name in ("trixie", "bookworm", "noble") if found.secures(name)] == ([release] if release else [])


def test_what_apt_would_do_is_read_with_where_it_comes_from():
    """New packages count like upgraded ones; what is kept back is named."""
    found = updates.updates(UPGRADE)

    assert [(each.package, each.version, each.is_security) for each in found.pending] == [
        ("held", "1.1", True),
        ("kern-2", "2", True),
        ("kern", "2", False),
    ]
    assert found.kept == ("kept", "other")


@pytest.mark.parametrize(
    ("release", "kind", "order"),
    [
        ("6.12.117+deb13-cloud-amd64", "-cloud-amd64", (6, 12, 117, 13)),
        ("6.1.0-28-amd64", "-amd64", (6, 1, 0, 28)),
        ("6.8.0-51-generic", "-generic", (6, 8, 0, 51)),
        ("6.8.12-4-pve", "-pve", (6, 8, 12, 4)),
        ("6.18.44-fc-v669", "-fc-v669", (6, 18, 44)),
        ("6.6.63", "", (6, 6, 63)),
        ("linux", "", ()),
    ],
)
def test_a_kernel_s_release_has_a_number_and_a_kind(release, kind, order):
    """Kernels of one kind are sorted by number, not by letter."""
    assert (Kernel(release).kind, Kernel(release).order) == (kind, order)


def test_the_kernels_that_could_be_booted_and_the_one_that_runs():
    """The version of the package stands below the paths; that of the build in what uname says."""
    found = updates.boot(
        "6.12.9-amd64\n#1 SMP Debian 6.12.9-1 (2026-01-02)\n/boot/vmlinuz-6.12.10-amd64\n/boot/vmlinuz-6.12.9-amd64\n"
        "/boot/vmlinuz-6.16.1-rt-amd64\n/boot/vmlinuz-linux\n/run/reboot-required\n6.12.9-2\n"
    )

    assert found.newest == Kernel("6.12.10-amd64")
    assert (found.wanted, found.built_from, found.package) == (True, "6.12.9-1", "6.12.9-2")
    assert len(found.installed) == 3


def test_nixos_tells_what_is_booted_next_and_what_runs():
    """The profile is changed by a rebuild that waits for its boot, what runs is not."""
    found = updates.nixos(NIX)

    assert (found.booted, found.current) == ("/nix/store/a/bzImage", "/nix/store/b/bzImage")
    assert (found.next, found.running) == (("/nix/store/next-nixos",), "/nix/store/now-nixos")


def test_a_nixos_version_tells_the_day_of_its_packages():
    """Where it has one."""
    found = updates.nixos(NIX)

    assert (found.switched, found.nixpkgs, found.booted) == (1795000000.0, 1767312000.0, "/nix/store/a/bzImage")
    assert updates.nixos(NIX.replace("25.05.20260102.ac62194", "25.05pre-git")).nixpkgs is None


@pytest.mark.parametrize("view", [updates.updates, updates.boot, updates.nixos])
@pytest.mark.parametrize("text", ["", "[]", "{}", "null", "Permission denied"])
def test_unreadable_output_is_an_error(view, text):
    """An empty answer of any of these is none: it never reads as "nothing pending"."""
    with pytest.raises(EvidenceError):
        view(text)


@pytest.mark.parametrize(
    ("view", "text"),
    [
        (updates.releases, f"{LISTS}a_InRelease:Suite: stable-security\n"),
        (updates.releases, f"{LISTS}a_InRelease:Date: yesterday\n"),
        (updates.releases, "/elsewhere/a_InRelease:Date: Mon, 23 Nov 2026 17:51:56 UTC\n"),
        (updates.updates, UPGRADE.replace("Inst held", "Inst  held")),
        (updates.updates, UPGRADE.replace("Inst kern-2 (2 Debian-Security:12/stable-security [amd64]) []\n", "")),
        (updates.updates, UPGRADE.partition("2 upgraded")[0]),
        (updates.boot, "6.12.9-amd64\n#1\n1\n2\n"),
        (updates.boot, "6.12.9-amd64\n#1\n/etc/passwd\n"),
        (updates.nixos, NIX.replace("/nix/store/a/bzImage\n", "")),
        (updates.nixos, NIX.replace("1795000000", "lately")),
        (updates.nixos, NIX.replace("/nix/store/next-nixos\n", "")),
        (updates.nixos, NIX.replace("/nix/store/now-nixos", "")),
    ],
)
def test_half_an_answer_is_an_error(view, text):
    """A line that is missing or of another form is not passed over."""
    with pytest.raises(EvidenceError):
        view(text)


def of(**answers: Answer) -> JournalFacts:
    return JournalFacts(Evidence("minisrv", 0.0, probes={k.replace("_", "-"): v for k, v in answers.items()}))


@pytest.mark.parametrize(
    ("line", "is_error"),
    [
        ('{"PRIORITY": "3", "MESSAGE": "x"}', True),
        ('{"PRIORITY": "4", "MESSAGE": "x"}', False),
        ('{"PRIORITY": "6", "MESSAGE": "time=\\"2026\\" level=error msg=x"}', True),
        ('{"PRIORITY": "6", "MESSAGE": "level=errors"}', False),
        ('{"PRIORITY": "6", "MESSAGE": "loglevel=error"}', False),
        ('{"MESSAGE": "level=panic"}', True),
        ('{"PRIORITY": "6", "MESSAGE": [108, 101, 118, 101, 108, 61, 102, 97, 116, 97, 108, 32, 255]}', True),
        ('{"PRIORITY": "6", "MESSAGE": ["one", "level=error"]}', True),
        ('{"PRIORITY": "6"}', False),
    ],
)
def test_an_error_shows_by_its_priority_or_by_the_level_in_its_text(line, is_error):
    """journalctl writes what is not UTF-8 as a list of bytes, and a field that an entry has twice as a list of both."""
    assert [entry.is_error for entry in journal.entries(line + "\n")] == [is_error]


@pytest.mark.parametrize(
    "line",
    [
        "[]",
        "null",
        "x",
        '{"PRIORITY": 3}',
        '{"PRIORITY": "9"}',
        '{"MESSAGE": null}',
        '{"MESSAGE": []}',
        '{"MESSAGE": [999]}',
    ],
)
def test_a_line_that_is_no_entry_is_an_error(line):
    """A text that journalctl left out may have been the error."""
    with pytest.raises(EvidenceError):
        journal.entries(line + "\n")


def test_no_entry_is_an_answer_and_no_journal_is_none():
    """journalctl ends well and prints nothing in both cases: the newest entry of all tells them apart."""
    assert journal.entries("") == journal.entries("-- No entries --\n") == ()
    for said in ("", "-- No entries --\n", "{}", '{"__REALTIME_TIMESTAMP": 1}'):
        with pytest.raises(EvidenceError, match="journalctl -n 1"):
            _ = of(journal_newest=Answer("j", 0, said)).newest
    assert of(journal_newest=Answer("j", 0, '{"__REALTIME_TIMESTAMP": "1795456387127486"}')).newest == 1795456387.127486


@pytest.mark.parametrize(
    "answer",
    [
        Answer("j", 1, "", "No journal files were opened due to insufficient permissions."),
        Answer(
            "j",
            0,
            '{"MESSAGE": "mine"}',
            "Hint: You are currently not seeing messages from other users and the system.",
        ),
    ],
)
def test_a_journal_that_is_not_shown_as_a_whole_is_unknown(answer):
    """What journalctl says beside its answer is that there is more."""
    with pytest.raises(EvidenceError):
        _ = of(journal=answer).of_incus


@pytest.mark.parametrize("said", ["x\n", "a.service loaded active running A\n", "0 loaded units listed.\n"])
def test_units_that_have_not_failed_are_no_answer_to_which_have(said):
    """No unit failed where nothing is printed; anything else must be of its form."""
    assert journal.failed_units("") == ()
    assert journal.failed_units("a.service loaded failed failed A b c\n") == ("a.service",)
    with pytest.raises(EvidenceError):
        journal.failed_units(said)
