"""Tests ``sigsrv init`` as a user runs it: file or standard output, summary, and exit status."""

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
from sigsrv.scan import collecting, judging, scan
from sigsrv.scan.options import Options
from sigsrv.scan.plan import prepare

POLICIES = policy.load()
ROOT = Path(__file__).resolve().parents[1]
MARK = re.compile(r"^ *# fails already: (\S+): ", re.MULTILINE)


def failing(site_file: Path, evidence_dir: str = "demo") -> set[str]:
    """Return the ids of the failures that a scan with a site file finds."""
    plan = prepare(Options(site=str(site_file), evidence=evidence_dir))
    run, _ = scan.scan(plan)
    return {finding.id for finding in run.findings if finding.verdict is Verdict.FAIL}


def test_the_draft_of_the_demo_marks_exactly_the_failures(tmp_path, capsys):
    """The file loads, a scan with it finds exactly the marked failures, and the summary counts them."""
    path = tmp_path / "site.yaml"

    status = main(["init", "--evidence", "demo", "--name", "mine", "--output", str(path)])

    text = path.read_text()
    marked = MARK.findall(text)
    assert set(marked) == failing(path)
    assert len(marked) == len(set(marked)) > 0
    assert site_file.load(path, POLICIES).name == "mine"
    printed = capsys.readouterr()
    assert f"{len(marked)} findings fail already" in printed.err
    assert f"next: correct {path}, then: sigsrv scan --site {path}" in printed.err
    assert printed.out == ""
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert status == 0
    assert "Could not be read" not in text


def test_unreadable_data_is_named_in_the_file_and_gives_exit_status_3(tmp_path):
    """The evidence has no answer about ACLs."""
    saved_hosts = evidence.load(data.DEMO / "evidence")
    for host in saved_hosts.values():
        for address in [each for each in host.api if "network-acls" in each]:
            del host.api[address]
    evidence.save(tmp_path / "e", "run", saved_hosts)

    status = main(
        ["init", "--evidence", str(tmp_path / "e"), "--name", "mine", "--output", str(tmp_path / "site.yaml")]
    )

    assert status == 3
    unread = (tmp_path / "site.yaml").read_text().partition("# Could not be read, so it is not in this file:\n")[2]
    assert unread.startswith("# - ACLs: "), unread[:200]


def test_without_output_the_draft_goes_to_standard_output(capsysbinary):
    """Standard output contains only the draft, as UTF-8."""
    main(["init", "--evidence", "demo", "--hosts", "sigsrv,minisrv"])

    printed = capsysbinary.readouterr()
    assert [host["name"] for host in yaml.safe_load(printed.out)["hosts"]] == ["sigsrv", "minisrv"]
    assert b"then: sigsrv scan --site FILE" in printed.err


def test_an_existing_file_is_not_overwritten(tmp_path, capsys):
    """``--force`` overwrites it. A dangling link counts as an existing file."""
    path, link = tmp_path / "site.yaml", tmp_path / "link.yaml"
    path.write_text("mine")
    link.symlink_to(tmp_path / "nowhere")

    for each in (path, link):
        assert main(["init", "--evidence", "demo", "--output", str(each)]) == 2
        assert "this file exists already" in capsys.readouterr().err
    assert path.read_text() == "mine"
    assert main(["init", "--evidence", "demo", "--output", str(path), "--force"]) == 0
    assert path.read_text() != "mine"


def test_a_file_created_during_the_run_is_not_overwritten(tmp_path):
    """Another process can create the file while sigsrv reads the hosts."""
    path = tmp_path / "site.yaml"
    path.write_text("mine")

    with pytest.raises(FileExistsError):
        data.write_private(path, "theirs", replace=False)

    assert (path.read_text(), list(tmp_path.iterdir())) == ("mine", [path])


@pytest.mark.parametrize(
    ("argv", "message"),
    [
        ([], "no host given"),
        (["--hosts", ","], "no host given"),
        (["--hosts", "root@a"], '"root@a" is not a valid host name'),
        (["--hosts", "ftp://a"], "is not a valid host"),
        (["--hosts", "a", "--output", "/nowhere/site.yaml"], "/nowhere: no such folder"),
        (["--hosts", "a", "--name", " "], "--name: the name must not be empty"),
        (["--hosts", "a", "--ssh-config", "/nowhere"], "no such file"),
        (["--evidence", "/nowhere"], "no such file"),
    ],
)
def test_wrong_use_is_reported_before_any_host_is_contacted(argv, message, capsys, monkeypatch):
    """Exit status 2 and a message of one line."""
    monkeypatch.setattr("sigsrv.scan.live.collect_all", lambda *_, **__: pytest.fail("a host was contacted"))

    assert main(["init", *argv]) == 2
    assert message in capsys.readouterr().err


def live(monkeypatch, saved_hosts):
    """Make the hosts answer with saved evidence; return the requests to each host."""
    requests = {}

    def collect_all(targets, keep_open=False):
        found = {}
        for target, member, probes in targets:
            requests[target.name] = (target, member, {probe.id for probe in probes})
            lost = Failure(FailureKind.UNREACHABLE, "no route to host")
            found[target.name] = saved_hosts.get(target.name) or Evidence(target.name, 1.8e9, failure=lost)
        return found

    monkeypatch.setattr("sigsrv.scan.live.collect_all", collect_all)
    return requests


def test_connection_options_are_written_to_the_file(tmp_path, monkeypatch):
    """It contains user, ssh configuration (relative if near the file), sudo and timeout. Comments name the other options."""
    config = tmp_path / "sub" / "ssh_config"
    config.parent.mkdir()
    config.write_text("")
    path = tmp_path / "site.yaml"
    requests = live(monkeypatch, evidence.load(data.DEMO / "evidence"))
    argv = ["--hosts", "ssh://ops@sigsrv:2222,minisrv", "--ssh-config", str(config), "--sudo", "--timeout", "30"]

    main(["init", *argv, "--sudo-user", "incus", "--output", str(path)])

    found = site_file.load(path, POLICIES).hosts
    assert [(host.address, host.ssh_config, host.sudo, host.timeout_s) for host in found] == [
        ("ops@sigsrv", str(config), True, 30.0),
        ("", str(config), True, 30.0),
    ]
    assert "ssh_config: sub/ssh_config" in path.read_text()
    assert "sigsrv uses port 2222" in path.read_text()
    assert "a site file can't contain --sudo-user" in path.read_text()
    target, member, probes = requests["sigsrv"]
    assert (target.address, target.port, member) == ("ops@sigsrv", 2222, "")
    assert "zpool-json" in probes


def test_local_uses_the_name_of_this_machine(monkeypatch, capsysbinary):
    """``local://`` without a name means this machine."""
    monkeypatch.setattr(init, "local_hostname", lambda: "minisrv")
    requests = live(monkeypatch, evidence.load(data.DEMO / "evidence"))

    main(["init", "--hosts", "local://"])

    assert requests["minisrv"][0].connection == "local"
    assert b"cluster members that were not scanned: sigsrv" in capsysbinary.readouterr().out


def test_probes_that_the_drafted_site_does_not_need_are_not_judged(tmp_path, monkeypatch):
    """init asks about ZFS before it knows whether a ZFS pool exists. A scan of a site without one does not ask."""
    saved_hosts = evidence.load(data.DEMO / "evidence")
    for host in saved_hosts.values():
        for url, answer in host.api.items():
            if url.startswith("/1.0/storage-pools"):
                for row in answer.metadata if isinstance(answer.metadata, list) else [answer.metadata]:
                    row["driver"] = "dir"
    live(monkeypatch, saved_hosts)
    judge, judged = judging.judge, {}
    monkeypatch.setattr(judging, "judge", lambda plan, found: judged.update(found) or judge(plan, found))

    main(["init", "--hosts", "sigsrv,minisrv", "--output", str(tmp_path / "site.yaml")])

    assert "link" in judged["sigsrv"].probes
    assert not [probe for probe in judged["sigsrv"].probes if probe.startswith("zpool")]


def test_an_unreachable_host_is_reported_and_the_other_is_drafted(tmp_path, monkeypatch, capsys):
    """Exit status 3, and the draft contains the facts of the other host."""
    path = tmp_path / "site.yaml"
    saved_hosts = evidence.load(data.DEMO / "evidence")
    live(monkeypatch, {"sigsrv": saved_hosts["sigsrv"]})

    status = main(["init", "--hosts", "sigsrv,minisrv", "--output", str(path)])

    assert status == 3
    assert "sigsrv: not read: minisrv: no route to host" in capsys.readouterr().err
    assert "could not be read: no route to host" in path.read_text()
    assert len(site_file.load(path, POLICIES).bridges) == 3
    assert MARK.findall(path.read_text())


def test_help_fits_a_terminal(capsys, monkeypatch):
    """It fits 80 columns and contains the exit statuses and an example."""
    monkeypatch.setenv("COLUMNS", "80")
    assert main(["init", "--help"]) == 0

    printed = capsys.readouterr().out
    assert max(len(line) for line in printed.splitlines()) <= 80
    assert "exit status: 0 drafted" in printed


def test_nothing_is_drafted_if_no_host_could_be_read(tmp_path, monkeypatch, capsys):
    """Exit status 3, one line for each host, and no file: the corrected command needs no ``--force``."""
    down = Failure(FailureKind.UNREACHABLE, "ssh: Could not resolve hostname sigsvr")
    found = {name: Evidence(name, 1.8e9, failure=down) for name in ("sigsvr", "minisvr")}
    monkeypatch.setattr(collecting, "collect", lambda *_: found)

    status = main(["init", "--hosts", "sigsvr,minisvr", "--output", str(tmp_path / "site.yaml")])

    assert status == 3
    assert capsys.readouterr().err.splitlines() == [
        "sigsrv: not read: sigsvr: ssh: Could not resolve hostname sigsvr",
        "sigsrv: not read: minisvr: ssh: Could not resolve hostname sigsvr",
        "sigsrv: error: no host could be read; nothing was drafted, and no file was written",
    ]
    assert list(tmp_path.iterdir()) == []
