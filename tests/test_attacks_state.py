"""Tests attacks by another account of this machine, which owns or may write a folder that root uses: it must not become root.

The account is a number that no account has; it gets a folder of its own, as a service account has its home.
"""

from __future__ import annotations

import os
import shutil
import sqlite3
import subprocess
import tempfile
import time
from dataclasses import replace
from pathlib import Path

import pytest

from sigsrv.commands import main, remediate
from sigsrv.model.errors import UsageError
from sigsrv.remediate import preflight
from sigsrv.remediate.arming import RollbackTimer
from sigsrv.remediate.journal import Journal
from sigsrv.remediate.undoing import finish_interrupted_before_scan, make_undo_plan
from tests.called import ROOT, sigsrv
from tests.local_host import TRANSACTION, local_host, wait
from tests.run_world import A, two_files
from tests.test_remediate_journal import FAILING, FIX, record_verified_step, run, transaction

ATTACKER = 4_000_002
root = pytest.mark.skipif(os.geteuid() != 0, reason="only root can run a program as another account")
SITE = "src/sigsrv/demo/site.yaml"


@pytest.fixture
def home():
    """Provide a folder of the attacker, which everybody can reach."""
    folder = Path(tempfile.mkdtemp(dir="/tmp", prefix="sigsrv-attack-"))
    os.chown(folder, ATTACKER, ATTACKER)
    folder.chmod(0o755)
    yield folder
    shutil.rmtree(folder)


@pytest.fixture
def victim(tmp_path):
    """Provide a file that only root can read and write."""
    path = tmp_path / "victim"
    path.write_text("secret of root\n")
    path.chmod(0o600)
    return path


def attack(script: str) -> None:
    """Run a shell script as the attacker."""
    done = subprocess.run(
        ["sh", "-eu"], input=script, text=True, user=ATTACKER, group=ATTACKER, extra_groups=[], cwd="/", check=False
    )
    assert done.returncode == 0, script


def refused(capsys: pytest.CaptureFixture[str], path: Path, mode: str) -> str:
    """Return the error, after it was checked that it names the path, the owner and the mode."""
    error = capsys.readouterr().err
    assert f"{path}" in error
    assert f"(owner unknown (uid {ATTACKER}), mode {mode})" in error
    assert "Traceback" not in error
    return error


@root
def test_lock_that_is_a_link_destroys_no_file(home, victim, capsys):
    """A scan of root would empty the file that the link leads to, and write its process id there."""
    attack(f"mkdir {home}/runs; ln -s {victim} {home}/runs/.lock")

    assert main.main(["scan", "--evidence", "demo", "--report-dir", str(home / "runs")]) == 2

    assert victim.read_text() == "secret of root\n"
    refused(capsys, home, "0755")


@root
def test_journal_that_is_a_link_creates_no_file(home, tmp_path, capsys, monkeypatch):
    """Root would create a file where the link leads to."""
    attack(f"mkdir {home}/sigsrv; ln -s {tmp_path}/created {home}/sigsrv/journal.sqlite")
    monkeypatch.setenv("XDG_STATE_HOME", str(home))

    for argv in (["--history"], ["--undo", run(1), "--site", SITE], ["NET-001", "--yes", "--site", SITE]):
        assert remediate.main(argv) == 2
        refused(capsys, home, "0755")

    assert not (tmp_path / "created").exists()


@root
def test_runs_that_are_a_link_are_neither_written_nor_read(home, tmp_path, capsys, monkeypatch):
    """A scan would write there, and the list of sigsrv-remediate and ``sigsrv waive`` would read what the attacker wrote."""
    attack(f"mkdir {home}/sigsrv; ln -s {tmp_path} {home}/sigsrv/runs")
    runs = str(home / "sigsrv" / "runs")
    waive = ["waive", FAILING.id, "--reason", "x", "--until", "1d", "--site", SITE, "--waivers", f"{tmp_path}/w"]

    assert main.main(["scan", "--evidence", "demo", "--report-dir", runs]) == 2
    refused(capsys, home, "0755")
    assert main.main(["demo", "--report-dir", runs]) == 2
    refused(capsys, home, "0755")
    assert remediate.main(["--report-dir", runs]) == 2
    refused(capsys, home, "0755")
    assert main.main([*waive, "--report-dir", runs]) == 2
    refused(capsys, home, "0755")
    assert remediate.main(["--from", f"{runs}/latest/findings.json", "--site", SITE, "--yes"]) == 2
    refused(capsys, home, "0755")

    assert list(tmp_path.iterdir()) == []


@root
def test_journal_in_a_folder_of_another_account_runs_nothing(home, tmp_path, capsys, monkeypatch):
    """The attacker writes a journal of valid rows, with a script of its own: an undo would run it as root on a host."""
    path = tmp_path / "journal.sqlite"
    forged = Journal(path)
    forged.begin_run(run(1), "demo")
    record_verified_step(forged, transaction(1))
    forged.close()
    path.chmod(0o644)
    shutil.copy(path, "/tmp")
    shutil.move("/tmp/journal.sqlite", home / "copy")
    attack(f"mkdir {home}/sigsrv; cp {home}/copy {home}/sigsrv/journal.sqlite")
    monkeypatch.setenv("XDG_STATE_HOME", str(home))

    assert remediate.main(["--undo", run(1), "--yes", "--site", SITE, "--connection", "local"]) == 2

    refused(capsys, home, "0755")


@root
def test_folder_that_another_account_may_write_is_refused(tmp_path, capsys):
    """It belongs to root, but its mode lets everybody replace what is in it."""
    out = tmp_path / "out"
    out.mkdir()
    out.chmod(0o777)

    assert main.main(["scan", "--evidence", "demo", "--report-dir", str(out)]) == 2

    error = capsys.readouterr().err
    assert f"{out} can be written by other accounts (owner root (uid 0), mode 0777)" in error
    assert f"chmod go-w {out}" in error
    assert list(out.iterdir()) == []


@root
@pytest.mark.parametrize("file", ["waivers", "site"])
def test_waivers_that_another_account_may_write_hide_nothing_from_root(home, tmp_path, capsys, file):
    """Otherwise that account decides which failures the report of root shows, and how root reaches the hosts."""
    for folder in (home, tmp_path):
        shutil.copy(ROOT / SITE, folder / "site.yaml")
        (folder / "site.yaml").chmod(0o644)
    attack(f"printf 'version: 1\\nwaivers: []\\n' >{home}/waivers.yaml")
    shutil.copy(home / "waivers.yaml", tmp_path)
    files = {name: str((home if name == file else tmp_path) / f"{name}.yaml") for name in ("site", "waivers")}
    argv = ["scan", "--evidence", "demo", "--site", files["site"], "--waivers", files["waivers"]]
    argv += ["--report-dir", str(tmp_path / "out")]

    assert main.main(argv) == 2
    refused(capsys, home, "0755")
    done = sigsrv(*argv, SUDO_UID=str(ATTACKER))
    assert done.returncode in (1, 3), done.stderr  # it is the account that called sudo, and has named its own file


@root
@pytest.mark.parametrize("wrong", ["checks", "checks/test_mine.py", "proj/PROJ-001.yaml"])
def test_checks_that_another_account_may_write_are_not_run_by_root(tmp_path, capsys, wrong):
    """A check is Python: it would run as root."""
    mine = tmp_path / "policies"
    for name in ("checks", "proj"):
        (mine / name).mkdir(parents=True)
    (mine / "checks" / "test_mine.py").write_text(
        f"import pathlib\npathlib.Path({str(tmp_path / 'pwned')!r}).touch()\n"
    )
    shutil.copy(ROOT / "policies" / "proj" / "PROJ-001.yaml", mine / "proj")
    (mine / wrong).chmod(0o777)

    assert main.main(["scan", "--evidence", "demo", "--policies", str(mine), "--report-dir", str(tmp_path / "o")]) == 2

    assert f"{mine / wrong} can be written by other accounts" in capsys.readouterr().err.replace(
        " it ", f" {mine / wrong} "
    )
    assert not (tmp_path / "pwned").exists()
    if wrong.startswith("checks"):
        assert main.main(["policies", "lint", "--policies", str(mine)]) != 0
        assert not (tmp_path / "pwned").exists()


@pytest.fixture
def host(tmp_path, monkeypatch):
    monkeypatch.setenv("HERE", str(tmp_path))
    with local_host(tmp_path) as found:
        yield found


@root
@pytest.mark.parametrize("timer", [RollbackTimer.UNIT, RollbackTimer.SHELL])
def test_armed_folder_that_another_account_can_replace_is_not_used(host, home, tmp_path, timer):
    """The attacker waits for the folder, puts its own in its place, and the timer of the host would run its script as root."""
    attack(
        f"""(
        i=0
        while [ ! -d {home}/armed ] && [ $i -lt 60 ]; do sleep 0.05; i=$((i + 1)); done
        mv {home}/armed {home}/old || exit 0
        mkdir -p {home}/armed/{TRANSACTION}/state
        echo 'id >{tmp_path}/pwned' >{home}/armed/{TRANSACTION}/undo-once.sh
        ) >/dev/null 2>&1 &"""
    )
    paths = replace(host.paths, disk=str(home / "armed"))
    remote = host.remote(host.fix(survives_reboot=True), paths=paths, timer=timer, confirm_s=1.5)

    done = host.call(remote.apply)
    undone = host.call(remote.undo)
    time.sleep(3)

    assert (done.rc, undone.rc, host.state) == (1, 1, "old")
    for said in (done.stderr, undone.stderr):
        assert f"{home} (owner UNKNOWN (uid {ATTACKER}), mode 755) belongs to another account" in said
    assert not (home / "armed").exists()
    assert not (tmp_path / "pwned").exists()


@root
def test_fix_that_was_swapped_after_it_was_armed_is_not_run(host, home, tmp_path):
    """Each later call looks at the folder again: another account got it meanwhile, and put its own script there."""
    remote = host.remote(host.fix(survives_reboot=True), confirm_s=60)
    assert host.call(remote.apply).rc == 0
    armed = host.folder / "disk" / TRANSACTION
    (armed / "undo.sh").write_text(f"id >{tmp_path}/pwned\n")
    os.chown(armed, ATTACKER, ATTACKER)

    timer = subprocess.run(["sh", armed / "undo-once.sh", "self"], capture_output=True, text=True, check=False)
    assert timer.returncode == 1
    assert f"{armed} is not trusted: {armed} (owner" in timer.stderr

    for call in (remote.old_values, remote.confirm, remote.undo):
        done = host.call(call)
        assert done.rc == 1
        assert f"{armed} (owner UNKNOWN (uid {ATTACKER}), mode 700) belongs to another account" in done.stderr

    assert not (tmp_path / "pwned").exists()


@root
@pytest.mark.parametrize("part", ["run", "disk"])
@pytest.mark.parametrize("kind", ["owner", "mode", "link"])
def test_preflight_refuses_folders_that_another_account_can_change(host, home, part, kind):
    """The plan says so, before anything is locked or armed: with path, owner and mode."""
    folder = host.folder / part
    folder.mkdir()
    if kind == "owner":
        os.chown(folder, ATTACKER, ATTACKER)
    elif kind == "mode":
        folder.chmod(0o770)
    else:
        folder.rmdir()
        folder.symlink_to(home)

    with pytest.raises(UsageError, match=rf"{folder} is not trusted: {folder} \(owner .*, mode 7\d\d\)"):
        host.call(preflight.inspect, host.paths)
    reason, found = host.call(preflight.lock, run(1), "alice@ws", 30, (), host.paths)
    assert f"{folder} is not trusted" in reason
    assert found is None


@root
def test_old_folder_of_armed_fixes_that_another_account_owns_is_not_looked_at(host, home):
    """No message names a script that lies there. The preflight says that it did not read the folder."""
    attack(f"mkdir -p {home}/armed/{TRANSACTION}/state")
    paths = replace(host.paths, old_disk=str(home / "armed"))

    found = host.call(preflight.inspect, paths)

    assert found.leftovers == ()
    assert f"{home}/armed is not trusted: {home}/armed (owner UNKNOWN (uid {ATTACKER}), mode 755)" in found.untrusted


def test_fix_that_an_earlier_version_armed_is_found_and_undone(host):
    """It lies in the old folder. If only root can change it, it is as good as in the new one."""
    fix = host.fix(survives_reboot=True)
    before = host.remote(fix, paths=replace(host.paths, disk=host.paths.old_disk))
    assert host.call(before.apply).rc == 0
    assert host.call(preflight.inspect, host.paths).leftovers == (f"{host.folder}/old/armed/{TRANSACTION}",)

    done = host.call(host.remote(fix).undo)

    assert (done.rc, host.state) == (0, "old"), done
    assert wait(lambda: host.leftovers == ["old/armed"])


@pytest.fixture
def world(tmp_path, monkeypatch):
    with two_files(tmp_path, monkeypatch) as found:
        yield found


def test_transaction_that_is_a_command_runs_nothing(world, tmp_path):
    """A step that was interrupted is finished before anything is planned. Its id was once a part of the script for the host."""
    world.apply(A)
    code = f"x; id >{tmp_path}/forged; echo"
    for table in ("kept", "step"):
        world.journal._database.execute(f"UPDATE {table} SET transaction_id = ?", (code,))
    world.journal._database.execute("DELETE FROM step WHERE state != 'applying'")
    world.journal._database.execute("UPDATE run SET pid = 0")

    with pytest.raises(UsageError, match=r"journal.sqlite: table kept, row 1, column transaction_id: 'x; id >"):
        finish_interrupted_before_scan(world.hosts, world.runner(), world.journal, world.messages.append)

    assert not (tmp_path / "forged").exists()


ROWS = [
    ("run", "id", "x; id"),
    ("run", "id", "../../etc"),
    ("run", "at", "now"),
    ("run", "at", float("inf")),
    ("run", "who", "a\nb"),
    ("run", "site", b"\x00"),
    ("run", "undoes", "x"),
    ("run", "pid", -1),
    ("run", "pid", "1; id"),
    ("kept", "transaction_id", "0123456789abcdeF"),
    ("kept", "undoes", "$(id)"),
    ("kept", "fix", "[]"),
    ("kept", "fix", "{}"),
    ("kept", "fix", '{"words": 1}'),
    ("kept", "fix", "[" * 100_000),
    ("kept", "verdicts", '{"NET-001@minisrv/a": "good"}'),
    ("kept", "verdicts", '{"a": "pass"}'),
    ("kept", "verdicts", "1"),
    ("kept", "net", "at"),
    ("kept", "mended", '"NET-001@minisrv/a"'),
    ("kept", "mended", '["x"]'),
    ("kept", "state", "Li4vYQ== Yg=="),  # a file ../a
    ("kept", "state", "?"),
    ("step", "at", -1.0),
    ("step", "who", "a\x1b[2J"),
    ("step", "finding", "NET-001"),
    ("step", "finding", "NET-001@minisrv/b"),  # not that of the fix
    ("step", "remediation", "../x"),
    ("step", "remediation", "attach-vlan"),
    ("step", "host", "-oProxyCommand=id"),
    ("step", "host", "sigsrv"),
    ("step", "script_sha256", "f" * 64),
    ("step", "script_sha256", "0"),
    ("step", "state", "done"),
    ("step", "detail", b"x"),
]


@pytest.mark.parametrize(("table", "column", "value"), ROWS)
def test_row_that_sigsrv_did_not_write_stops_everything(world, table, column, value):
    """The error names file, table, row and column. Neither a fix nor an undo nor the history goes on."""
    world.apply(A)
    world.journal._database.execute(f"UPDATE {table} SET {column} = ?", (value,))
    if column == "transaction_id":
        world.journal._database.execute("UPDATE step SET transaction_id = ?", (value,))
    asked = []
    world.hosts = replace(world.hosts, scan=lambda: asked.append(1))

    with pytest.raises(UsageError, match=rf"journal\.sqlite: table {table}, row 1, column {column}: ") as error:
        world.apply(A)

    assert "sigsrv did not write this row, so nothing runs" in error.value.hint
    assert asked == []


def test_fix_with_another_script_than_its_hash_is_not_undone(world):
    """The journal has the hash of each script that it recorded."""
    world.apply(A)
    world.journal._database.execute("UPDATE kept SET fix = replace(fix, 'echo new', 'id; echo new')")

    with pytest.raises(UsageError, match=r"table step, row 1, column script_sha256: '\w{64}' is not the hash of the"):
        world.journal.history()


def test_step_on_a_host_that_is_not_in_the_site_is_not_undone(world):
    """Its host may be in the journal of another site."""
    world.apply(A)
    world.journal._database.execute("UPDATE step SET host = 'elsewhere'")
    world.journal._database.execute(
        """UPDATE kept SET fix = replace(fix, '"runs_on": "minisrv"', '"runs_on": "elsewhere"')"""
    )

    (found,) = world.journal.history()
    shown = make_undo_plan(world.hosts, world.journal, found, world.limits)

    assert shown.steps == ()
    assert "elsewhere is not among the hosts of site" in shown.skipped[0][1]


@root
@pytest.mark.parametrize("suffix", ["", "-journal", "-wal", "-shm"])
def test_files_that_sqlite_reads_with_the_journal_are_checked_too(tmp_path, suffix):
    """SQLite would take pages from them into the journal."""
    path = tmp_path / "state" / "journal.sqlite"
    Journal(path).close()
    beside = path.with_name(f"{path.name}{suffix}")
    beside.touch(mode=0o644)
    os.chown(beside, ATTACKER, ATTACKER)

    with pytest.raises(UsageError, match=rf"{beside} is not trusted: it belongs to another account"):
        Journal(path)


def test_journal_of_valid_rows_is_read(tmp_path):
    """The checks accept what sigsrv writes, with every state and an undo."""
    journal = Journal(tmp_path / "journal.sqlite")
    journal.begin_run(run(1), "a site")
    record_verified_step(journal, transaction(1))
    journal.begin_run(run(2), "a site", run(1))
    record_verified_step(journal, transaction(2), undoes=transaction(1))
    for number, end in enumerate(("undone", "failed"), 3):
        journal.begin_step(transaction(number), FIX, [FAILING])
        journal.write(transaction(number), FIX, "undoing", "why\nand how")
        journal.write(transaction(number), FIX, end, "why")

    assert [len(each.steps) for each in journal.history()] == [3, 1]
    journal.close()
    assert sqlite3.connect(journal.path).execute("SELECT COUNT(*) FROM run").fetchone() == (2,)
