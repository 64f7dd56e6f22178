"""Tests that every transport gives the same findings with one login, and that missing evidence is an error with its
reason.
"""

from __future__ import annotations

import json
import shutil
import subprocess
import sysconfig
from collections.abc import Iterator
from pathlib import Path

import pytest
import yaml

from tests.e2e.conftest import ROOT, Lab, clean, clean_with_one_host

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
    """Return the findings of a scan of the lab, by id."""
    done = lab.command("sigsrv", "scan", "--site", str(site or lab.site), "--report-dir", str(folder), *more)
    assert done.returncode == code, done.stdout + done.stderr
    return found(folder)


def install_sudoers(lab: Lab) -> None:
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
    """Give the account audit exactly the sudoers file that ``sigsrv probes --sudoers`` prints."""
    install_sudoers(lab)
    yield lab
    for host in HOSTS:
        lab.on(host, "rm", "-f", "/etc/sudoers.d/sigsrv")


@pytest.fixture
def without_forwarding(lab: Lab) -> Iterator[Lab]:
    """Disable socket forwarding in every sshd of the lab."""
    line = "AllowStreamLocalForwarding no"
    for host in HOSTS:
        lab.on(host, "sh", "-c", f"echo {line} >>/etc/ssh/sshd_config; kill -HUP $(cat /run/sshd.pid); sleep 0.5")
    yield lab
    for host in HOSTS:
        lab.on(host, "sh", "-c", f"sed -i '/^{line}/d' /etc/ssh/sshd_config; kill -HUP $(cat /run/sshd.pid); sleep 0.5")


@pytest.fixture
def api_site(lab: Lab, tmp_path: Path) -> Iterator[dict]:
    """Provide the lab's site file with the HTTPS API of each host and a client certificate that the cluster trusts."""
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


def test_all_transports_have_equal_findings(audit, without_forwarding, api_site, tmp_path):
    """Forwarded socket, incus query without forwarding, incus query under sudo, HTTPS: equal findings with one login
    each.
    """
    lab = audit
    before = {host: lab.logins(host) for host in HOSTS}
    transports = {
        "query": scan(lab, tmp_path / "query"),
        "sudo": scan(lab, tmp_path / "sudo", "--ssh-config", str(lab.files / "ssh_config.audit")),
        "https": scan(lab, tmp_path / "https", site=written(api_site, tmp_path)),
    }
    logins = {host: lab.logins(host) - before[host] for host in HOSTS}
    for host in HOSTS:
        lab.on(
            host, "sh", "-c", "sed -i '/^AllowStream/d' /etc/ssh/sshd_config; kill -HUP $(cat /run/sshd.pid); sleep 0.5"
        )
    transports["socket"] = scan(lab, tmp_path / "socket")

    assert logins == {"sigsrv": 3, "minisrv": 3}
    wanted = with_certificate(transports["socket"])
    assert {key: value["verdict"] for key, value in transports["socket"].items()} == wanted
    for transport, findings in transports.items():
        assert without_measurements(findings) == without_measurements(transports["socket"]), transport


def with_certificate(findings: dict[str, dict]) -> dict[str, str]:
    """Return the clean verdicts plus those for the scanner's own certificate.

    Without it there is no client to evaluate.
    """
    wanted = clean()
    (name,) = [key for key, f in findings.items() if f["policy"] == "AUTH-002" and key not in wanted]
    del wanted["AUTH-002@cluster/cluster"]
    return wanted | {name: "pass", name.replace("AUTH-002", "AUTH-003"): "pass"}


def without_measurements(findings: dict[str, dict]) -> dict[str, dict]:
    """Return the findings without measured values."""
    measured = ("HOST-005", "HOST-006", "HOST-007", "POOL-003")
    return {key: {**f, "observed": "", "reason": ""} if f["policy"] in measured else f for key, f in findings.items()}


def test_api_only_hosts_name_once_what_needs_a_login(lab, api_site, tmp_path):
    """The site file wants no login, so these policies are not applicable, and one notice names them. Incus is judged as usual."""
    for host in api_site["hosts"]:
        host["api"]["only"] = True
    before = {host: lab.logins(host) for host in HOSTS}

    findings = scan(lab, tmp_path, site=written(api_site, tmp_path))

    assert {host: lab.logins(host) for host in HOSTS} == before
    assert {f["verdict"] for f in findings.values()} == {"pass", "not-applicable"}
    (notice,) = json.loads((tmp_path / "latest" / "findings.json").read_text())["notices"]
    left_out = {f["policy"] for f in findings.values() if "does not log in" in f["reason"]}
    assert left_out >= {
        *(f"HOST-{number:03}" for number in range(2, 11)),
        *(f"NET-00{number}" for number in range(1, 8)),
    }
    assert not {policy for policy in left_out if policy.startswith(("INST-", "PROJ-", "IMG-"))}
    assert {policy for policy in left_out if policy not in str(notice)} == set()
    judged = {
        key: verdict for key, verdict in with_certificate(findings).items() if key.partition("@")[0] not in left_out
    }
    assert {key: findings[key]["verdict"] for key in judged} == judged


def test_server_certificate_that_is_not_in_the_site_file_is_refused(lab, api_site, tmp_path, monkeypatch):
    """Any other certificate blocks the API, whatever the environment trusts."""
    shutil.copy(tmp_path / "client.crt", tmp_path / "server.crt")
    for host in api_site["hosts"]:
        host["api"]["only"] = True
    monkeypatch.setenv("REQUESTS_CA_BUNDLE", "/etc/ssl/certs/ca-certificates.crt")

    findings = scan(lab, tmp_path, site=written(api_site, tmp_path), code=3)

    for host in HOSTS:
        found = findings[f"HOST-001@{host}/{host}"]
        assert found["verdict"] == "error"
        assert "the server's certificate is not the one in the site file" in found["reason"]


def test_audit_account_can_run_only_the_printed_commands(audit):
    """sudo refuses another method, an added option, another URL and another file."""
    refused = [
        "incus query -X DELETE --raw local:/1.0/instances/svc-a",
        "incus query --raw -X PUT local:/1.0",
        "incus query --raw local:/1.0 --debug",
        "incus query --raw local:/1.0/certificates",
        "incus query --raw 'local:/1.0/instances?recursion=2&all-projects=trueX'",
        "incus query --raw 'local:/1.0/instancesXrecursion=2&all-projects=true'",
        "incus list",
        "cat /etc/shadow",
    ]
    ssh = ["ssh", "-F", str(audit.files / "ssh_config.audit"), "sigsrv"]
    allowed = audit.command(*ssh, "sudo -n incus query --raw local:/1.0")
    assert json.loads(allowed.stdout)["metadata"]["auth"] == "trusted"
    for command in refused:
        done = audit.command(*ssh, f"sudo -n {command}")
        assert done.returncode == 1, command
        assert "password is required" in done.stderr, command


def test_account_whose_sudo_asks_for_a_password_gets_errors(lab, tmp_path):
    """Without the sudoers file, the reason is sudo's own message."""
    findings = scan(lab, tmp_path, "--ssh-config", str(lab.files / "ssh_config.audit"), code=3)

    assert "password is required" in findings["HOST-002@sigsrv/sigsrv"]["reason"]
    assert findings["INST-001@cluster/cluster"]["verdict"] == "error"


def test_ssh_url_sets_account_and_port(lab, tmp_path):
    """In ssh://USER@HOST:PORT all other settings come from the user's configuration."""
    findings = scan(
        lab, tmp_path, "--hosts", f"ssh://root@sigsrv:{lab.ssh_port('sigsrv')},ssh://noaccess@minisrv", code=3
    )

    assert findings["HOST-002@sigsrv/sigsrv"]["verdict"] == "pass"
    assert "no permission for" in findings["HOST-002@minisrv/minisrv"]["reason"]


@pytest.mark.lab("ns")  # the virtual machines can't read this machine's files
def test_host_can_scan_itself_without_a_login(lab, tmp_path):
    """local:// runs the same probes on this host and asks its socket directly."""
    before = lab.logins("sigsrv")
    # The system's Python, because the lab's hosts have their own /root and can't see an interpreter there.
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

    assert {f["id"]: f["verdict"] for f in json.loads(text)["findings"]} == clean_with_one_host("sigsrv")
    assert lab.logins("sigsrv") == before


@pytest.mark.parametrize("spec", ["ftp://sigsrv", "ssh://-oProxyCommand=x", "local://nobody", "ssh://a@b@c"])
def test_unknown_transport_is_a_usage_error(lab, tmp_path, spec):
    """An unknown scheme or host is reported, and nothing is scanned."""
    done = lab.command("sigsrv", "scan", "--site", str(lab.site), "--hosts", spec, "--report-dir", str(tmp_path))

    assert done.returncode == 2
    assert "--hosts" in done.stderr


def test_saved_evidence_has_the_same_findings(lab, tmp_path):
    """--evidence evaluates what --save wrote. A changed file is refused unless --unverified is given."""
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
    assert "changed since it was saved" in refused.stderr
    assert lab.command(*argv, "--unverified").returncode in (1, 3)


def test_user_test_shares_the_connection_of_the_scan(lab, tmp_path):
    """testinfra's host is the session of the scan: one login each. The result of the test is a finding."""
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
