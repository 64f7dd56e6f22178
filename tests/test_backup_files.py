"""Tests which instance or volume a file in the backup directory belongs to."""

from __future__ import annotations

from fnmatch import fnmatchcase

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sigsrv.facts.backups import BackupFile
from sigsrv.judge.backup_files import BackupFiles, Pattern, glob_of
from sigsrv.model.site import Backups

PREFIXED, SUFFIXED, BOTH = "{name}-*.tar.gz", "*-{name}.tar.gz", "*{name}*"

TEXT = st.text("ab-*?[]", max_size=6)  # often a glob, and often a name that a glob matches


def pattern(glob: str, name: str = "web", project: str = "default") -> Pattern:
    files = glob_of(Backups("sigsrv", "/srv", glob), project, name)
    return Pattern("instance", f"{project}/{name}", project, "cluster", "", files)


def newest(mine: Pattern, others: list[Pattern], *names: str) -> str | None:
    """Return the name of the newest file that belongs to ``mine``. names: the newest file first."""
    files = [BackupFile(name, 100.0 - index, 1) for index, name in enumerate(names)]
    found = BackupFiles(files, sorted({mine, *others})).newest(mine)
    assert found == BackupFiles(files, others).newest(mine), "the list of the daemon may lack an instance"
    return found.name if found else None


@pytest.mark.parametrize(
    ("glob", "names", "expected"),
    [
        (PREFIXED, ["web-2.tar.gz", "web-1.tar.gz"], "web-2.tar.gz"),
        (PREFIXED, ["web-db-2.tar.gz", "web-1.tar.gz"], "web-1.tar.gz"),  # the first file is of web-db
        (PREFIXED, ["web-db-2.tar.gz"], None),
        (PREFIXED, ["web.tar.gz", "web-1.zip", "my-web-1.tar.gz"], None),
        (SUFFIXED, ["2-web.tar.gz", "1-web.tar.gz"], "2-web.tar.gz"),
        (BOTH, ["2-web-db.img", "1-web.img"], "1-web.img"),
        ("{name}", ["web-db", "web"], "web"),
        ("{project}/{name}", ["web"], None),
    ],
)
def test_a_file_belongs_to_the_longest_glob_that_it_matches(glob, names, expected):
    """The names of both instances begin the same way. Only web-db owns the files that both globs match."""
    assert newest(pattern(glob), [pattern(glob, "web-db")], *names) == expected


def test_a_file_of_two_longest_globs_belongs_to_neither():
    """Each of the globs matches the file in its own way, so its name does not say whose it is."""
    one, two = pattern("a*b?"), pattern("a?*b")

    assert newest(one, [two], "axxbb") is None
    assert newest(one, [two], "axxbb", "abx") == "abx"


@pytest.mark.parametrize("name", ["web[1]", "web]", "[web", "web*", "web?"])
@pytest.mark.parametrize(
    ("glob", "file"), [(PREFIXED, "{}-1.tar.gz"), (SUFFIXED, "1-{}.tar.gz"), (BOTH, "1{}1"), ("{name}", "{}")]
)
def test_a_name_with_special_characters_is_no_glob(name, glob, file):
    """The characters of a glob have no meaning in the name of an instance."""
    assert newest(pattern(glob, name), [pattern(glob, "web1")], file.format(name)) == file.format(name)


@given(st.lists(TEXT, min_size=1, max_size=5), st.lists(TEXT, max_size=8))
def test_comparing_only_the_globs_that_may_match_changes_no_result(globs, names):
    """The plain way compares each file with each glob."""
    for mine in globs:
        rivals = [each for each in globs if each != mine and len(each) >= len(mine)]
        owned = (name for name in names if fnmatchcase(name, mine))
        expected = next((name for name in owned if not any(fnmatchcase(name, each) for each in rivals)), None)
        assert newest(pattern(mine), [pattern(each) for each in globs], *names) == expected


def test_patterns_with_the_same_glob_share_their_files():
    """Two projects have an instance of one name, and the glob does not contain the project."""
    mine, other = pattern(PREFIXED), pattern(PREFIXED, project="user-john")
    files = BackupFiles([BackupFile("web-1.tar.gz", 1.0, 1)], [mine, other, pattern(PREFIXED, "db")])

    assert files.newest(mine) == files.newest(other) == files.files[0]
    assert list(files.same_glob(mine)) == [other]
