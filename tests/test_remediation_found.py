"""Tests that an undo finds its object: an instance by its uuid, a volume by the time of its creation. It never takes one for gone that
Incus only can't show.
"""

from __future__ import annotations

import pytest

from tests.fake_host import FakeHost, make_host

# "rows" are the instances that Incus finds by uuid, "states" those of all instances. "volume" is the name of the volume now.
INCUS = r"""
case "$1 $2 $3" in
  "list local: --all-projects") case "$*" in *volatile.uuid=*) cat "$HERE/rows" ;; *) cat "$HERE/states" ;; esac; exit ;;
  "config device list") echo eth0; exit ;;
  "config device get") cat "$HERE/value"; exit ;;
  "config device show") printf 'eth0:\n  type: nic\n'; exit ;;
  "config device set" | "config device unset") echo "$*" >>"$HERE/done"; exit ;;
  "config get "*) echo "7"; exit ;;
  "query -- local:/1.0/storage-pools/"*"/state?"*) printf '\t"used": 1048576\n'; exit ;;
  "query -- local:/1.0/storage-pools/"*) cat "$HERE/listed"; exit ;;
esac
case " $* " in *" local:hdd $(cat "$HERE/volume") "*) ;; *) echo "Error: Storage volume not found" >&2; exit 1 ;; esac
case "$3" in
  show) echo "created_at: 2026-11-30T09:22:28.1Z" ;;
  get) cat "$HERE/size" ;;
  set) echo "$8 $9" >>"$HERE/done"; echo "${9#*=}" >"$HERE/size" ;;
esac
"""
NICS = {
    "instance": "web",
    "project": "p",
    "nics": [{"name": "eth0", "filters": ["security.mac_filtering"], "properties": [], "addresses": []}],
    "refuse": "",
}
SIZE = {"pool": "hdd", "volume": "data", "project": "default", "member": "", "size": "1GiB", "keys": []}
LISTED = '\t{\n\t\t"created_at": "2026-11-30T09:22:28.1Z",\n\t\t"location": "",\n\t\t"name": "data2",\n\t}\n'


@pytest.fixture
def host(tmp_path):
    for name, text in (("rows", "p,web\n"), ("states", "RUNNING\n"), ("value", ""), ("volume", "data"), ("size", "")):
        (tmp_path / name).write_text(text)
    return make_host(FakeHost, tmp_path, {"incus": INCUS})


@pytest.fixture
def filtered(host):
    """Provide a host whose NIC has the filter that the fix has set."""
    assert host.run("filter-nics", "apply", NICS)[0] == 0
    (host.folder / "value").write_text("true\n")
    _ = host.changes
    return host


def test_nic_of_a_renamed_instance_loses_the_filter(filtered):
    (filtered.folder / "rows").write_text("q,shop\n")

    code, output = filtered.run("filter-nics", "undo", NICS)

    assert (code, "p/web is q/shop now" in output) == (0, True)
    assert filtered.changes == ["config device unset --project q -- local:shop eth0 security.mac_filtering"]


def test_undo_fails_where_a_member_that_may_have_the_instance_does_not_answer(filtered):
    """Incus then does not know the keys of its instances, so a search for a uuid finds nothing."""
    (filtered.folder / "rows").write_text("")
    (filtered.folder / "states").write_text("RUNNING\nERROR\n")

    code, output = filtered.run("filter-nics", "undo", NICS)

    assert code == 1
    assert "p/web: not found, but a member does not answer. Undo this again when it does" in output
    assert "nothing left to undo" not in output


def test_undo_ends_well_where_all_members_answer_and_none_has_the_instance(filtered):
    (filtered.folder / "rows").write_text("")

    code, output = filtered.run("filter-nics", "undo", NICS)

    assert code == 0
    assert "nothing left to undo: the instance that was p/web is gone" in output


def test_size_of_a_renamed_volume_goes_back(host):
    assert host.run("set-volume-size", "apply", SIZE)[0] == 0
    assert host.changes == ["data size=1GiB"]
    (host.folder / "volume").write_text("data2")
    (host.folder / "listed").write_text(LISTED)

    code, output = host.run("set-volume-size", "undo", SIZE)

    assert (code, "hdd/default/data is data2 now" in output) == (0, True)
    assert host.changes == ["data2 size="]


def test_size_that_somebody_set_since_stays(host):
    assert host.run("set-volume-size", "apply", SIZE)[0] == 0
    (host.folder / "size").write_text("2GiB\n")
    _ = host.changes

    code, output = host.run("set-volume-size", "undo", SIZE)

    assert (code, host.changes) == (0, [])
    assert output == "kept: hdd/default/data: size is 2GiB, not 1GiB as the fix left it\n"
