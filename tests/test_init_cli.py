"""sigsrv init, as its user types it: a file or standard output, a summary, and an exit status."""

from __future__ import annotations

import re
import stat
from pathlib import Path

import pytest
import yaml

from sigsrv.collect import evidence
from sigsrv.collect.evidence import Evidence, Failure
from sigsrv.commands import init
from sigsrv.commands.main import main
from sigsrv.model import data, policy, site_file
from sigsrv.model.errors import FailureKind
from sigsrv.model.finding import Verdict
from sigsrv.scan import judging, scan
from sigsrv.scan.options import Options
from sigsrv.scan.plan import prepare

POLICIES = policy.load()
ROOT = Path(__file__).resolve().parents[1]
MARK = re.compile(r"^ *# fails already: (\S+): ", re.MULTILINE)


def failing(site_file: Path, evidence_dir: str = "demo") -> set[str]:
    """What a scan with a site file finds to fail."""
    plan = prepare(Options(site=str(site_file), evidence=evidence_dir))
    run, _ = scan.scan(plan)
    return {finding.id for finding in run.findings if finding.verdict is Verdict.FAIL}


def test_the_demo_s_evidence_gives_a_site_that_marks_exactly_what_fails(tmp_path, capsys):
    """The file loads, a scan with it finds what it marks and no more, and the summary counts it."""
    path = tmp_path / "site.yaml"

    status = main(["init", "--evidence", "demo", "--name", "mine", "--output", str(path)])

    text = path.read_text()
    marked = MARK.findall(text)
    assert set(marked) == failing(path)
    assert len(marked) == len(set(marked)) > 0
    assert site_file.load(path, POLICIES).name == "mine"
    said = capsys.readouterr()
    assert f"{len(marked)} findings fail already" in said.err
    assert f"next: correct {path}, then: sigsrv scan --site {path}" in said.err
    assert said.out == ""
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert status == 0
    assert "Could not be read" not in text


def test_what_could_not_be_read_is_told_in_the_file_and_by_the_exit_status(tmp_path):
    """Evidence of a scan that never asked which ACLs there are."""
    kept = evidence.load(data.DEMO / "evidence")
    for seen in kept.values():
        for asked in [each for each in seen.api if "network-acls" in each]:
            del seen.api[asked]
    evidence.save(tmp_path / "e", "run", kept)

    status = main(
        ["init", "--evidence", str(tmp_path / "e"), "--name", "mine", "--output", str(tmp_path / "site.yaml")]
    )

    assert status == 3
    told = (tmp_path / "site.yaml").read_text().partition("# Could not be read, and is not in this file:\n")[2]
    assert told.startswith("# - ACLs: "), told[:200]


def test_without_a_file_it_goes_to_standard_output(capsysbinary):
    """As UTF-8, and nothing else does."""
    main(["init", "--evidence", "demo", "--hosts", "sigsrv,minisrv"])

    said = capsysbinary.readouterr()
    assert [host["name"] for host in yaml.safe_load(said.out)["hosts"]] == ["sigsrv", "minisrv"]
    assert b"then: sigsrv scan --site FILE" in said.err


def test_a_file_that_is_there_is_not_overwritten(tmp_path, capsys):
    """Not without --force; a link that leads nowhere is there as well."""
    path, link = tmp_path / "site.yaml", tmp_path / "link.yaml"
    path.write_text("mine")
    link.symlink_to(tmp_path / "nowhere")

    for each in (path, link):
        assert main(["init", "--evidence", "demo", "--output", str(each)]) == 2
        assert "is there already" in capsys.readouterr().err
    assert path.read_text() == "mine"
    assert main(["init", "--evidence", "demo", "--output", str(path), "--force"]) == 0
    assert path.read_text() != "mine"


def test_a_file_that_came_meanwhile_is_not_overwritten(tmp_path):
    """What was not there when the hosts were asked may be there at the end."""
    path = tmp_path / "site.yaml"
    path.write_text("mine")

    with pytest.raises(FileExistsError):
        data.write_private(path, "theirs", replace=False)

    assert (path.read_text(), list(tmp_path.iterdir())) == ("mine", [path])


@pytest.mark.parametrize(
    ("argv", "message"),
    [
        ([], "--hosts names no host"),
        (["--hosts", ","], "--hosts names no host"),
        (["--hosts", "root@a"], '"root@a" can\'t be the name of a host'),
        (["--hosts", "ftp://a"], "is no way to a host"),
        (["--hosts", "a", "--output", "/nowhere/site.yaml"], "/nowhere: no such folder"),
        (["--hosts", "a", "--name", " "], "--name: a site has a name"),
        (["--hosts", "a", "--ssh-config", "/nowhere"], "no such file"),
        (["--evidence", "/nowhere"], "no such file"),
    ],
)
def test_wrong_use_is_told_before_a_host_is_asked(argv, message, capsys, monkeypatch):
    """Exit status 2, one line."""
    monkeypatch.setattr("sigsrv.scan.live.collect_all", lambda *_, **__: pytest.fail("a host was asked"))

    assert main(["init", *argv]) == 2
    assert message in capsys.readouterr().err


def live(monkeypatch, kept):
    """Let the hosts answer with saved evidence; what was asked of them."""
    asked = {}

    def collect_all(targets, keep_open=False):
        found = {}
        for target, member, probes in targets:
            asked[target.name] = (target, member, {probe.id for probe in probes})
            lost = Failure(FailureKind.UNREACHABLE, "no route to host")
            found[target.name] = kept.get(target.name) or Evidence(target.name, 1.8e9, failure=lost)
        return found

    monkeypatch.setattr("sigsrv.scan.live.collect_all", collect_all)
    return asked


def test_what_the_command_line_says_of_the_way_is_in_the_file(tmp_path, monkeypatch):
    """User, ssh configuration (relative where it lies beside the file), sudo and time; the rest is said in words."""
    config = tmp_path / "sub" / "ssh_config"
    config.parent.mkdir()
    config.write_text("")
    path = tmp_path / "site.yaml"
    asked = live(monkeypatch, evidence.load(data.DEMO / "evidence"))
    argv = ["--hosts", "ssh://ops@sigsrv:2222,minisrv", "--ssh-config", str(config), "--sudo", "--timeout", "30"]

    main(["init", *argv, "--sudo-user", "incus", "--output", str(path)])

    found = site_file.load(path, POLICIES).hosts
    assert [(host.address, host.ssh_config, host.sudo, host.timeout_s) for host in found] == [
        ("ops@sigsrv", str(config), True, 30.0),
        ("", str(config), True, 30.0),
    ]
    assert "ssh_config: sub/ssh_config" in path.read_text()
    assert "sigsrv is reached at port 2222" in path.read_text()
    assert "a site file does not hold --sudo-user" in path.read_text()
    target, member, probes = asked["sigsrv"]
    assert (target.address, target.port, member) == ("ops@sigsrv", 2222, "")
    assert "zpool-json" in probes


def test_the_machine_itself_has_its_own_name(monkeypatch, capsysbinary):
    """local:// alone is this machine."""
    monkeypatch.setattr(init, "own_name", lambda: "minisrv")
    asked = live(monkeypatch, evidence.load(data.DEMO / "evidence"))

    main(["init", "--hosts", "local://"])

    assert asked["minisrv"][0].connection == "local"
    assert b"members of the cluster that were not asked: sigsrv" in capsysbinary.readouterr().out


def test_what_a_scan_with_the_drafted_site_would_not_ask_is_not_judged(tmp_path, monkeypatch):
    """ZFS is asked about although nobody knows yet whether there is any; without a ZFS pool no scan would have."""
    kept = evidence.load(data.DEMO / "evidence")
    for seen in kept.values():
        for url, answer in seen.api.items():
            if url.startswith("/1.0/storage-pools"):
                for row in answer.metadata if isinstance(answer.metadata, list) else [answer.metadata]:
                    row["driver"] = "dir"
    live(monkeypatch, kept)
    judge, judged = judging.judge, {}
    monkeypatch.setattr(judging, "judge", lambda plan, found: judged.update(found) or judge(plan, found))

    main(["init", "--hosts", "sigsrv,minisrv", "--output", str(tmp_path / "site.yaml")])

    assert "link" in judged["sigsrv"].probes
    assert not [probe for probe in judged["sigsrv"].probes if probe.startswith("zpool")]


def test_a_host_that_is_away_is_told_and_the_other_is_drafted(tmp_path, monkeypatch, capsys):
    """Exit status 3, and what the other knows."""
    path = tmp_path / "site.yaml"
    kept = evidence.load(data.DEMO / "evidence")
    live(monkeypatch, {"sigsrv": kept["sigsrv"]})

    status = main(["init", "--hosts", "sigsrv,minisrv", "--output", str(path)])

    assert status == 3
    assert "sigsrv: not read: minisrv: no route to host" in capsys.readouterr().err
    assert "could not be read: no route to host" in path.read_text()
    assert len(site_file.load(path, POLICIES).bridges) == 3
    assert MARK.findall(path.read_text())


def test_help_fits_a_terminal(capsys, monkeypatch):
    """Within 80 columns, with the exit statuses and an example."""
    monkeypatch.setenv("COLUMNS", "80")
    with pytest.raises(SystemExit):
        main(["init", "--help"])

    said = capsys.readouterr().out
    assert max(len(line) for line in said.splitlines()) <= 80
    assert "exit status: 0 drafted" in said
