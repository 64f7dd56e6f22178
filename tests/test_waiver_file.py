"""Tests editing the waiver file: an edit keeps everything that the user wrote."""

from __future__ import annotations

import io
import os
import stat
import threading

import pytest
import yaml
from hypothesis import given, settings
from hypothesis import strategies as st

from sigsrv.commands import waiver_file
from sigsrv.model import data, waiver
from sigsrv.model.errors import UsageError
from tests.test_waive import ENTRY, POLICIES

# The file, which is the user's.

FILES = {
    "comments everywhere": """\
# yaml-language-server: $schema=schema/waivers.schema.json
# head

version: 1   # of the format
waivers:
# before the first
- policy: NET-001   # which
  host: sigsrv
  resource: "br0"
  owner: 'Bo  Admin'
  reason: >
    two lines
    of text
  until: 2027-01-31 23:59:59.50+01:00   # when
  # after the first

# the second
- {policy: NET-*, host: '*', resource: br1, owner: yes-man, reason: "a # b", until: 2027-01-31T00:00:00Z}
# - policy: commented out
# the end
""",
    "indented": "version: 1\nwaivers:\n    - policy: NET-001\n      host: a\n      resource: b\n      owner: c\n"
    "      reason: d\n      until: '2027-01-31T00:00:00Z'",
    "flow": "waivers: [{policy: NET-001, host: a, resource: b, owner: c, reason: d, until: 2027-01-31T00:00:00Z}] # x\nversion: 1\n# end\n",
    "empty": "version: 1\nwaivers: []   # none\n# - policy: x\n",
    "null": "version: 1\nwaivers:\n# only a comment\n",
    "no key": "# head\nversion: 1\n# end\n",
    "windows": "version: 1 # x\r\nwaivers:\r\n  - policy: NET-001\r\n    host: a\r\n    resource: b\r\n    owner: c\r\n"
    "    reason: d\r\n    until: 2027-01-31T00:00:00Z # y\r\n",
    "mark": "\ufeffversion: 1\n# ä\nwaivers: []\n",
}


def comments(text: str) -> list[str]:
    return [part.rstrip() for part in text.replace('"a # b"', "").split("#")[1:] for part in [part.split("\n")[0]]]


@pytest.mark.parametrize("name", FILES)
def test_a_user_s_file_keeps_its_comments_its_order_and_its_values(tmp_path, name):
    """The new waiver is the only difference, also after a second edit and after a replacement."""
    path = tmp_path / "waivers.yaml"
    path.write_bytes(FILES[name].encode())
    before = waiver.load(path, POLICIES, 365)

    written = waiver_file.write(path, ENTRY, POLICIES, 365)
    waiver_file.write(path, ENTRY | {"resource": "default/other"}, POLICIES, 365)
    waiver_file.write(path, ENTRY | {"reason": "new # reason"}, POLICIES, 365, replace=True)

    text = path.read_bytes().decode()
    after = waiver.load(path, POLICIES, 365)
    assert [each.parts for each in after] == [
        *(each.parts for each in before),
        ("INST-001", "minisrv", "default/db"),
        ("INST-001", "minisrv", "default/other"),
    ]
    assert [(a.owner, a.reason, a.until) for a in after[: len(before)]] == [
        (b.owner, b.reason, b.until) for b in before
    ]
    assert (written.reason, after[-2].reason) == ("NFS: the #1 reason", "new # reason")
    assert set(comments(FILES[name])) <= set(comments(text))
    for line in FILES[name].splitlines():
        if line.strip() and not line.startswith("waivers:"):
            assert line in text
    assert text.count("\r\n") == (text.count("\n") if name == "windows" else 0)
    assert text.startswith("\ufeff") is (name == "mark")


def test_the_first_waiver_goes_below_the_example_in_the_shipped_file(tmp_path):
    """A user in a checkout sees this after the first ``sigsrv waive``."""
    shipped = data.folder("policies") / "waivers.yaml"
    path = tmp_path / "waivers.yaml"
    path.write_text(shipped.read_text())

    waiver_file.write(path, ENTRY, POLICIES, 365)

    entry = "\n".join(f"{'  - ' if key == 'policy' else '    '}{key}: {value}" for key, value in ENTRY.items())
    entry = entry.replace(ENTRY["reason"], f"'{ENTRY['reason']}'")
    assert path.read_text() == shipped.read_text().replace("waivers: []\n", f"waivers:\n{entry}\n")


def test_a_file_keeps_its_permissions_and_a_link_stays_a_link(tmp_path, monkeypatch):
    """Mode and owner stay, also of the account that calls sudo. No other file remains in the folder. A new file follows the umask."""
    monkeypatch.setenv("SUDO_UID", "12345")
    real = tmp_path / "real.yaml"
    real.write_text("version: 1\n")
    real.chmod(0o640)
    if os.geteuid() == 0:
        os.chown(real, 12345, 54321)
    was = real.stat()
    link = tmp_path / "waivers.yaml"
    link.symlink_to("real.yaml")

    waiver_file.write(link, ENTRY, POLICIES, 365)

    now = real.stat()
    assert (now.st_mode, now.st_uid, now.st_gid) == (was.st_mode, was.st_uid, was.st_gid)
    assert link.is_symlink()
    assert len(waiver.load(link, POLICIES, 365)) == 1
    assert {path.name for path in tmp_path.iterdir()} == {"real.yaml", "waivers.yaml"}
    umask = os.umask(0o027)
    try:
        waiver_file.write(tmp_path / "new.yaml", ENTRY, POLICIES, 365)
    finally:
        os.umask(umask)
    assert stat.S_IMODE((tmp_path / "new.yaml").stat().st_mode) == 0o640


@pytest.mark.parametrize(
    "text",
    [
        "version: 1\nwaivers: [\n",
        "version: 1\nwaivers:\n  - policy: NOPE\n",
        "version: 1\nwaiverz: []\n",
        "",
        "version: 1\nwaivers: &a []\nwaiverz: *a\n",
    ],
)
def test_an_invalid_file_is_not_changed(tmp_path, text):
    """The error has the line of the mistake, and no byte of the file changes."""
    path = tmp_path / "waivers.yaml"
    path.write_text(text)

    with pytest.raises(UsageError, match=r"waivers\.yaml:\d"):
        waiver_file.write(path, ENTRY, POLICIES, 365)

    assert path.read_text() == text
    assert list(tmp_path.iterdir()) == [path]


@pytest.mark.parametrize(
    ("was", "becomes", "reason"),
    [
        ("# the second", "", "the edit would lose the comment '# the second'"),
        ("br1", "br2", "the edit would change another waiver"),
        ("yes-man", "no-man", "the edit would change another waiver"),
    ],
)
def test_an_edit_that_would_lose_something_is_refused(tmp_path, monkeypatch, was, becomes, reason):
    """The file stays unchanged, and the hint has the entry to add by hand."""
    path = tmp_path / "waivers.yaml"
    path.write_text(FILES["comments everywhere"])
    dump = waiver_file.YAML.dump

    def dump_with_a_loss(self, document, out):
        whole = io.StringIO()
        dump(self, document, whole)
        out.write(whole.getvalue().replace(was, becomes))

    monkeypatch.setattr(waiver_file.YAML, "dump", dump_with_a_loss)

    with pytest.raises(UsageError, match="cannot edit this file without loss") as caught:
        waiver_file.write(path, ENTRY, POLICIES, 365)

    assert reason in caught.value.message
    assert yaml.safe_load(caught.value.hint.removeprefix("add it by hand: "))[0]["owner"] == "Ada Ops"
    assert path.read_text() == FILES["comments everywhere"]
    assert list(tmp_path.iterdir()) == [path]


def test_parallel_writers_lose_no_waiver(tmp_path):
    """All ten waivers are in the file afterwards."""
    path = tmp_path / "waivers.yaml"
    writers = [
        threading.Thread(target=waiver_file.write, args=(path, ENTRY | {"resource": f"default/c{n}"}, POLICIES, 365))
        for n in range(10)
    ]
    for writer in writers:
        writer.start()
    for writer in writers:
        writer.join()

    assert {each.resource for each in waiver.load(path, POLICIES, 365)} == {f"default/c{n}" for n in range(10)}


VISIBLE = st.text(st.characters(exclude_categories=["Cc", "Cf", "Cs", "Co", "Cn", "Zl", "Zp"]), min_size=1)
SPOKEN = VISIBLE.map(lambda text: " ".join(text.split())).filter(bool)


@settings(deadline=None, max_examples=40)
@given(VISIBLE, SPOKEN, SPOKEN)
def test_every_written_text_is_read_back_unchanged(tmp_path_factory, resource, owner, reason):
    """This includes text that YAML could read as another type (no, 1:30, ~, 0x1F, - a)."""
    path = tmp_path_factory.mktemp("waive") / "waivers.yaml"
    entry = ENTRY | {"resource": resource, "owner": owner, "reason": reason}

    found = waiver_file.write(path, entry, POLICIES, 365)

    assert (found.resource, found.owner, found.reason) == (resource, owner, reason)


@pytest.mark.parametrize(
    "text", ["no", "On", "~", "null", "1:30", "0x1F", "012", "1_000", ".inf", "=", "2026-01-01", "- a", "{", "%x"]
)
def test_text_that_yaml_could_read_as_another_type_is_quoted(tmp_path, text):
    """The rules of YAML 1.1 and 1.2 both count."""
    found = waiver_file.write(tmp_path / "w.yaml", ENTRY | {"owner": text, "reason": text}, POLICIES, 365)

    assert (found.owner, found.reason) == (text, text)
