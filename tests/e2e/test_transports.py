"""Every way to a host tells the same, with one login; what a way can't see is error, and said."""

from __future__ import annotations

import json
import shutil
import subprocess
import sysconfig
from collections.abc import Iterator
from pathlib import Path

import pytest
import yaml

from tests.e2e.conftest import ROOT, Lab, alone, clean

pytestmark = pytest.mark.lab
HOSTS = ("sigsrv", "minisrv")
MINE = '''
import pytest

@pytest.mark.high
def test_hostname(host):
    """Host is called sigsrv."""
    assert host.check_output("hostname") == "sigsrv"

def test_passwd(host):
    assert host.file("/etc/passwd").mode == 0o644

def test_breaks(host):
    raise OSError("no idea")
'''


def found(folder: Path) -> dict[str, dict]:
    return {f["id"]: f for f in json.loads((folder / "latest" / "findings.json").read_text())["findings"]}


def scan(lab: Lab, folder: Path, *more: str, site: Path | None = None, code: int = 0) -> dict[str, dict]:
    """The findings of a scan of the lab, by id; each host is logged in to once, or not at all where ``more`` says so."""
    done = lab.command("sigsrv", "scan", "--site", str(site or lab.site), "--report-dir", str(folder), *more)
    assert done.returncode == code, done.stdout + done.stderr
    return found(folder)


def with_sudoers(lab: Lab) -> None:
    text = lab.command("sigsrv", "probes", "--site", str(lab.site), "--sudoers", "audit").stdout
    for host in HOSTS:
        subprocess.run(
            [*lab.program, "exec", host, "sh", "-c", "umask 227; cat >/etc/sudoers.d/sigsrv"],
            input=text,
            text=True,
            check=True,
        )
        lab.on(host, "visudo", "-cqf", "/etc/sudoers.d/sigsrv")


@pytest.fixture
def audit(lab: Lab) -> Iterator[Lab]:
    """The account audit has exactly the sudoers file that ``sigsrv probes --sudoers`` prints."""
    with_sudoers(lab)
    yield lab
    for host in HOSTS:
        lab.on(host, "rm", "-f", "/etc/sudoers.d/sigsrv")


@pytest.fixture
def without_forwarding(lab: Lab) -> Iterator[Lab]:
    """No sshd of the lab forwards sockets."""
    line = "AllowStreamLocalForwarding no"
    for host in HOSTS:
        lab.on(host, "sh", "-c", f"echo {line} >>/etc/ssh/sshd_config; kill -HUP $(cat /run/sshd.pid); sleep 0.5")
    yield lab
    for host in HOSTS:
        lab.on(host, "sh", "-c", f"sed -i '/^{line}/d' /etc/ssh/sshd_config; kill -HUP $(cat /run/sshd.pid); sleep 0.5")


@pytest.fixture
def api_site(lab: Lab, tmp_path: Path) -> Iterator[dict]:
    """The lab's site with the HTTPS API of each host, and a client certificate that the cluster trusts."""
    subject = ["-subj", "/CN=scanner", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:secp384r1"]
    files = ["-keyout", tmp_path / "client.key", "-out", tmp_path / "client.crt"]
    subprocess.run(
        ["openssl", "req", "-x509", "-nodes", "-days", "365", *subject, *files], check=True, capture_output=True
    )
    (tmp_path / "server.crt").write_text(lab.on("sigsrv", "cat", "/var/lib/incus/cluster.crt"))
    certificate = (tmp_path / "client.crt").read_text()
    command = "cat >/root/scanner.crt; incus config trust add-certificate /root/scanner.crt --name scanner </dev/null"
    lab.on("sigsrv", "sh", "-c", command, given=certificate)
    site = yaml.safe_load(lab.site.read_text())
    for host in site["hosts"]:
        host["ssh_config"] = str(lab.ssh_config)
        names = {"client_cert": "client.crt", "client_key": "client.key", "server_cert": "server.crt"}
        host["api"] = {"url": lab.api(host["name"]), **names}
    yield site
    rows = json.loads(lab.on("sigsrv", "incus", "query", "/1.0/certificates?recursion=1"))
    for row in rows:
        if row["name"] == "scanner":
            lab.on("sigsrv", "incus", "config", "trust", "remove", row["fingerprint"])


def written(site: dict, folder: Path) -> Path:
    path = folder / "site.yaml"
    path.write_text(yaml.safe_dump(site))
    return path


def test_all_ways_tell_the_same(audit, without_forwarding, api_site, tmp_path):
    """Forwarded socket, incus query without forwarding, incus query under sudo, HTTPS: equal findings, one login each."""
    lab = audit
    before = {host: lab.logins(host) for host in HOSTS}
    ways = {
        "query": scan(lab, tmp_path / "query"),
        "sudo": scan(lab, tmp_path / "sudo", "--ssh-config", str(lab.files / "ssh_config.audit")),
        "https": scan(lab, tmp_path / "https", site=written(api_site, tmp_path)),
    }
    logins = {host: lab.logins(host) - before[host] for host in HOSTS}
    for host in HOSTS:
        lab.on(
            host, "sh", "-c", "sed -i '/^AllowStream/d' /etc/ssh/sshd_config; kill -HUP $(cat /run/sshd.pid); sleep 0.5"
        )
    ways["socket"] = scan(lab, tmp_path / "socket")

    assert logins == {"sigsrv": 3, "minisrv": 3}
    wanted = with_certificate(ways["socket"])
    assert {key: value["verdict"] for key, value in ways["socket"].items()} == wanted
    for way, findings in ways.items():
        assert told(findings) == told(ways["socket"]), way


def with_certificate(findings: dict[str, dict]) -> dict[str, str]:
    """The clean list with what the scanner's own certificate adds to it; without one there is no client to judge."""
    wanted = clean()
    (name,) = [key for key, f in findings.items() if f["policy"] == "AUTH-002" and key not in wanted]
    del wanted["AUTH-002@cluster/cluster"]
    return wanted | {name: "pass", name.replace("AUTH-002", "AUTH-003"): "pass"}


def told(findings: dict[str, dict]) -> dict[str, dict]:
    """Findings without what was measured at the time."""
    measured = ("HOST-005", "HOST-006", "HOST-007", "POOL-003")
    return {key: {**f, "observed": "", "reason": ""} if f["policy"] in measured else f for key, f in findings.items()}


def test_the_api_alone_can_t_judge_what_only_a_host_knows(lab, api_site, tmp_path):
    """Without a login, what needs a probe is error and says so; all that Incus knows is judged as ever."""
    for host in api_site["hosts"]:
        host["api"]["only"] = True
    before = {host: lab.logins(host) for host in HOSTS}

    findings = scan(lab, tmp_path, site=written(api_site, tmp_path), code=3)

    assert {host: lab.logins(host) for host in HOSTS} == before
    unknown = {f["policy"] for f in findings.values() if f["verdict"] == "error"}
    assert unknown >= {
        *(f"HOST-{number:03}" for number in range(2, 11)),
        *(f"NET-00{number}" for number in range(1, 8)),
    }
    assert not {policy for policy in unknown if policy.startswith(("INST-", "PROJ-", "IMG-"))}
    wanted = with_certificate(findings)
    judged = {key: verdict for key, verdict in wanted.items() if key.partition("@")[0] not in unknown}
    assert {key: findings[key]["verdict"] for key in judged} == judged
    assert "over its API alone" in findings["NET-001@sigsrv/sigsrv"]["reason"]


def test_a_certificate_that_is_not_the_site_s_is_refused(lab, api_site, tmp_path, monkeypatch):
    """Another server certificate than the named one: no way to the API, whatever the environment trusts."""
    shutil.copy(tmp_path / "client.crt", tmp_path / "server.crt")
    for host in api_site["hosts"]:
        host["api"]["only"] = True
    monkeypatch.setenv("REQUESTS_CA_BUNDLE", "/etc/ssl/certs/ca-certificates.crt")

    findings = scan(lab, tmp_path, site=written(api_site, tmp_path), code=3)

    for host in HOSTS:
        found = findings[f"HOST-001@{host}/{host}"]
        assert found["verdict"] == "error"
        assert "the server's certificate is not the site's" in found["reason"]


def test_the_audit_account_may_do_nothing_else(audit):
    """Exactly the printed commands: another method, an added option, another URL and another file are refused by sudo."""
    refused = [
        "incus query -X DELETE --raw /1.0/instances/svc-a",
        "incus query --raw -X PUT /1.0",
        "incus query --raw /1.0 --debug",
        "incus query --raw /1.0/certificates",
        "incus query --raw '/1.0/instances?recursion=2&all-projects=trueX'",
        "incus query --raw '/1.0/instancesXrecursion=2&all-projects=true'",
        "incus list",
        "cat /etc/shadow",
    ]
    ssh = ["ssh", "-F", str(audit.files / "ssh_config.audit"), "sigsrv"]
    allowed = audit.command(*ssh, "sudo -n incus query --raw /1.0")
    assert json.loads(allowed.stdout)["metadata"]["auth"] == "trusted"
    for command in refused:
        done = audit.command(*ssh, f"sudo -n {command}")
        assert done.returncode == 1, command
        assert "password is required" in done.stderr, command


def test_an_account_whose_sudo_wants_a_password_passes_nothing(lab, tmp_path):
    """Without the sudoers file the same account is told to have no right, with sudo's own words."""
    findings = scan(lab, tmp_path, "--ssh-config", str(lab.files / "ssh_config.audit"), code=3)

    assert "password is required" in findings["HOST-002@sigsrv/sigsrv"]["reason"]
    assert findings["INST-001@cluster/cluster"]["verdict"] == "error"


def test_ssh_addresses_keep_their_meaning(lab, tmp_path):
    """ssh://USER@HOST:PORT names account and port; the rest is the user's own configuration."""
    findings = scan(
        lab, tmp_path, "--hosts", f"ssh://root@sigsrv:{lab.ssh_port('sigsrv')},ssh://noaccess@minisrv", code=3
    )

    assert findings["HOST-002@sigsrv/sigsrv"]["verdict"] == "pass"
    assert "may not use" in findings["HOST-002@minisrv/minisrv"]["reason"]


@pytest.mark.lab("ns")  # the virtual machines don't see this machine's files
def test_a_host_judges_itself_without_a_login(lab, tmp_path):
    """local:// runs the same probes on this very host, and asks its socket directly."""
    before = lab.logins("sigsrv")
    # The system's Python, for the lab's hosts have a /root of their own, and an interpreter may lie there.
    libraries = f"PYTHONPATH={sysconfig.get_path('purelib')}:{ROOT / 'src'}"
    program = [
        "env",
        libraries,
        "/usr/bin/python3",
        "-S",
        "-c",
        "import sys; from sigsrv.commands.main import main; sys.exit(main())",
    ]
    argv = [*program, "scan", "--hosts", "local://", "--site", str(lab.site), "--report-dir", "/tmp/local"]

    done = lab.command(*lab.program, "exec", "sigsrv", *argv)
    assert done.returncode == 0, done.stdout + done.stderr
    text = lab.on("sigsrv", "cat", "/tmp/local/latest/findings.json")
    lab.on("sigsrv", "rm", "-r", "/tmp/local")

    assert {f["id"]: f["verdict"] for f in json.loads(text)["findings"]} == alone("sigsrv")
    assert lab.logins("sigsrv") == before


@pytest.mark.parametrize("spec", ["ftp://sigsrv", "ssh://-oProxyCommand=x", "local://nobody", "ssh://a@b@c"])
def test_a_way_that_is_none_is_wrong_use(lab, tmp_path, spec):
    """An unknown scheme or host is told, and nothing is scanned."""
    done = lab.command("sigsrv", "scan", "--site", str(lab.site), "--hosts", spec, "--report-dir", str(tmp_path))

    assert done.returncode == 2
    assert "--hosts" in done.stderr


def test_saved_evidence_is_judged_the_same(lab, tmp_path):
    """--save keeps what --evidence judges later with the same findings; a changed file is refused unless --unverified."""
    live = scan(lab, tmp_path / "live", "--save", str(tmp_path / "e"))

    later = scan(lab, tmp_path / "later", "--evidence", str(tmp_path / "e"))

    assert later == live
    assert {path.stat().st_mode & 0o777 for path in (tmp_path / "e").iterdir()} == {0o600}
    path = tmp_path / "e" / "minisrv.json"
    path.write_text(path.read_text().replace('\\"sigsrvbr0\\"', '\\"brother0\\"'))
    argv = [
        "sigsrv",
        "scan",
        "--site",
        str(lab.site),
        "--evidence",
        str(tmp_path / "e"),
        "--report-dir",
        str(tmp_path / "x"),
    ]
    refused = lab.command(*argv)
    assert refused.returncode == 2
    assert "was changed since it was saved" in refused.stderr
    assert lab.command(*argv, "--unverified").returncode in (1, 3)


def test_a_check_of_the_user_s_runs_through_the_same_connection(lab, tmp_path):
    """testinfra's host is the scan's session: one login each; the outcome of the test is a finding."""
    (tmp_path / "test_mine.py").write_text(MINE)
    before = {host: lab.logins(host) for host in HOSTS}

    argv = [
        "pytest",
        "checks",
        str(tmp_path / "test_mine.py"),
        "-k",
        "test_mine or host_is_reachable",
        "-p",
        "no:cacheprovider",
    ]
    done = lab.command(*argv, f"--site={lab.site}", f"--report-dir={tmp_path / 'out'}")

    assert done.returncode == 1, done.stdout
    assert {host: lab.logins(host) - before[host] for host in HOSTS} == {"sigsrv": 1, "minisrv": 1}
    findings = found(tmp_path / "out")
    assert {key: f["verdict"] for key, f in findings.items()} == {
        "HOST-001@sigsrv/sigsrv": "pass",
        "HOST-001@minisrv/minisrv": "pass",
        "test_mine.test_hostname@sigsrv/sigsrv": "pass",
        "test_mine.test_hostname@minisrv/minisrv": "fail",
        "test_mine.test_passwd@sigsrv/sigsrv": "pass",
        "test_mine.test_passwd@minisrv/minisrv": "pass",
        "test_mine.test_breaks@sigsrv/sigsrv": "error",
        "test_mine.test_breaks@minisrv/minisrv": "error",
    }
    assert findings["test_mine.test_hostname@minisrv/minisrv"]["severity"] == "high"
