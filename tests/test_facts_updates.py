"""Tests the facts about updates, kernels and the journal with recorded output."""

from __future__ import annotations

import pytest

from sigsrv.collect.evidence import Answer, Evidence
from sigsrv.facts import journal, updates
from sigsrv.facts.journal import JournalFacts
from sigsrv.facts.updates import Kernel
from sigsrv.model.errors import EvidenceError

LISTS = "/var/lib/apt/lists/"
# apt 2.6 of Debian 12: a kernel in a new package, a package on hold, and an update that is now also in a point release
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


def test_a_release_file_has_the_kind_and_the_date_of_its_archive():
    """Debian marks a security archive in the label, Ubuntu in the suite. If a field is repeated, the first one counts."""
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
def test_a_security_archive_belongs_to_one_release(fields, release):
    """The archive of another release has no updates for this release, even if the archive is new."""
    lines = [f"{LISTS}a_InRelease:{field}\n" for field in (*fields.split("|"), "Date: Mon, 23 Nov 2026 17:51:56 UTC")]
    (found,) = updates.releases("".join(lines))

    assert [name for name in ("trixie", "bookworm", "noble") if found.secures(name)] == ([release] if release else [])


def test_pending_updates_are_read_with_their_archive():
    """New packages count like upgraded packages. Packages that apt keeps back are listed."""
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
def test_a_kernel_release_has_a_number_and_a_flavour(release, kind, order):
    """Kernels of one flavour are sorted by number, not as text."""
    assert (Kernel(release).kind, Kernel(release).order) == (kind, order)


def test_the_installed_kernels_and_the_running_kernel_are_read():
    """The line after the paths has the installed package version. The line of uname has the version of the running build."""
    found = updates.boot(
        "6.12.9-amd64\n#1 SMP Debian 6.12.9-1 (2026-01-02)\n/boot/vmlinuz-6.12.10-amd64\n/boot/vmlinuz-6.12.9-amd64\n"
        "/boot/vmlinuz-6.16.1-rt-amd64\n/boot/vmlinuz-linux\n/run/reboot-required\n6.12.9-2\n"
    )

    assert found.newest == Kernel("6.12.10-amd64")
    assert (found.wanted, found.built_from, found.package) == (True, "6.12.9-1", "6.12.9-2")
    assert len(found.installed) == 3


@pytest.mark.parametrize("view", [updates.updates, updates.boot])
@pytest.mark.parametrize("text", ["", "[]", "{}", "null", "Permission denied"])
def test_unreadable_output_is_an_error(view, text):
    """Empty output is not an answer and never reads as "nothing pending"."""
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
    ],
)
def test_an_incomplete_answer_is_an_error(view, text):
    """A missing or malformed line is never skipped."""
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
def test_an_entry_is_an_error_by_its_priority_or_by_the_level_in_its_text(line, is_error):
    """journalctl writes text that is not UTF-8 as a list of bytes, and a field that occurs twice as a list of both values."""
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
def test_a_line_that_is_not_an_entry_is_an_error(line):
    """If journalctl leaves out the text of an entry, that text may be an error message."""
    with pytest.raises(EvidenceError):
        journal.entries(line + "\n")


def test_no_entries_is_an_answer_and_no_journal_is_an_error():
    """journalctl exits with 0 and prints nothing in both cases. Only a journal that exists has a newest entry."""
    assert journal.entries("") == journal.entries("-- No entries --\n") == ()
    for output in ("", "-- No entries --\n", "{}", '{"__REALTIME_TIMESTAMP": 1}'):
        with pytest.raises(EvidenceError, match="journalctl -n 1"):
            _ = of(journal_newest=Answer("j", 0, output)).newest
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
def test_a_partial_journal_is_an_error(answer):
    """The message of journalctl says that there are more entries."""
    with pytest.raises(EvidenceError):
        _ = of(journal=answer).of_incus


@pytest.mark.parametrize("output", ["x\n", "a.service loaded active running A\n", "0 loaded units listed.\n"])
def test_output_other_than_failed_units_is_an_error(output):
    """Empty output means that no unit failed. Each line of other output must be a failed unit."""
    assert journal.failed_units("") == ()
    assert journal.failed_units("a.service loaded failed failed A b c\n") == ("a.service",)
    with pytest.raises(EvidenceError):
        journal.failed_units(output)
