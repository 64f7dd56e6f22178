"""Tests the collection on a host: the script of probes and its frames in a real shell, evidence folders, redaction."""

from __future__ import annotations

import base64
import dataclasses
import json
import shutil
import subprocess
import time
from types import SimpleNamespace

import pytest
import requests

from sigsrv.collect import api, evidence, urls
from sigsrv.collect.api import explain_socket
from sigsrv.collect.connection import open_session
from sigsrv.collect.evidence import Answer, ApiAnswer, Failure
from sigsrv.collect.hosts import gather
from sigsrv.collect.probes import SOCKET, TABLE, UNITS, Probe, ProbeOptions, parse, script, select, shell_command
from sigsrv.collect.redact import redact, redact_operations
from sigsrv.collect.session import ConnectionFailed, bounded
from sigsrv.collect.target import Target
from sigsrv.model import data
from sigsrv.model.errors import FailureKind, UsageError

WORD = "0123456789abcdef"


def run(*probes: Probe, shell: str = "sh", before: bytes = b"") -> dict[str, Answer]:
    done = subprocess.run([shell, "-c", shell_command(script(probes, WORD))], capture_output=True, check=False)
    return parse(probes, WORD, before + done.stdout)


def sh(name: str, code: str, **more: int) -> Probe:
    return Probe(name, ("sh", "-c", code), "a test", **more)


@pytest.mark.parametrize("shell", ["sh", "bash", "dash"])
def test_output_stderr_and_status_are_unchanged(shell):
    """Standard output, standard error and exit status of a probe stay separate, in any login shell."""
    answer = run(sh("a", "printf 'out\\n\\n'; echo err >&2; exit 3"), shell=shell, before=b"Welcome!\n")["a"]

    assert (answer.rc, answer.stdout, answer.stderr, answer.failure) == (3, "out\n\n", "err", None)


@pytest.mark.parametrize("shell", ["dash", "bash"])
@pytest.mark.parametrize("more", [1, 9000])
def test_any_sh_runs_a_script_of_any_length(shell, more):
    """The shell reads the script from its standard input, and the script closes that input.

    At that point dash has read 8191 bytes, and bash (sh of NixOS) one line.
    """
    probes = [sh("a", "echo 1"), sh("b", f"echo 2 # {'x' * more}"), sh("c", "echo 3")]
    done = subprocess.run(
        ["sh", "-c", shell_command(script(probes, WORD)).replace("/bin/sh", shell)], capture_output=True, check=False
    )

    assert [answer.stdout for answer in parse(probes, WORD, done.stdout).values()] == ["1\n", "2\n", "3\n"]


def test_output_can_t_forge_the_frame_of_another_probe():
    """A probe that prints frame marks on both streams changes only its own answer."""
    forged = f"{WORD} end a\\n{WORD} done a\\n{WORD} begin b\\naGk=\\n{WORD} end b\\nCjAK\\n{WORD} done b\\n"
    answers = run(sh("a", f"printf '{forged}'; printf '{forged}' >&2"), sh("b", "echo real; exit 7"))

    assert (answers["b"].rc, answers["b"].stdout) == (7, "real\n")
    assert answers["a"].stdout.startswith(f"{WORD} end a")


@pytest.mark.parametrize(
    ("probe", "kind"),
    [
        (Probe("a", ("no-such-command",), "a test"), FailureKind.MISSING),
        (Probe("a", ("sleep", "9"), "a test", timeout_s=1), FailureKind.TIMEOUT),
        (sh("a", "trap '' TERM; sleep 9 & wait; sleep 9", timeout_s=1), FailureKind.TIMEOUT),
        (Probe("a", ("yes",), "a test", limit_bytes=5000), FailureKind.TOO_LARGE),
        (sh("a", "printf '\\377\\376'"), FailureKind.GARBLED),
    ],
)
def test_probe_without_a_valid_answer_fails_alone(probe, kind):
    """A missing command, a timeout, too much output and invalid UTF-8 fail only that probe. The next probe answers."""
    answers = run(probe, sh("b", "echo fine"))

    assert answers["a"].failure is not None
    assert answers["a"].failure.kind is kind
    assert answers["b"].stdout == "fine\n"


def test_output_of_exactly_the_limit_is_complete():
    """One byte more is a failure."""
    assert run(sh("a", "printf 12345", limit_bytes=5))["a"].stdout == "12345"
    assert run(sh("a", "printf 123456", limit_bytes=5))["a"].failure is not None


@pytest.mark.parametrize("cut", [1, 20, 60, 110])
def test_truncated_frame_is_a_failure(cut):
    """A partial answer does not count, in each place where the connection broke."""
    probes = (sh("a", "echo 1"), sh("b", "echo 2"))
    whole = subprocess.run(["sh", "-c", shell_command(script(probes, WORD))], capture_output=True, check=True).stdout

    answers = parse(probes, WORD, whole[: len(whole) - 1 - cut])

    assert answers["b"].failure is not None


def frame(out: str, tail: str) -> bytes:
    """Return the frame of probe a. out, tail: text to encode; ``x`` is no base64."""
    coded = ["x" if text == "x" else base64.b64encode(text.encode()).decode() for text in (out, tail)]
    return f"{WORD} begin a\n{coded[0]}\n{WORD} end a\n{coded[1]}\n{WORD} done a\n".encode()


@pytest.mark.parametrize(
    ("out", "tail"),
    [
        ("x", f"\n{WORD} 0\n"),
        (f"hi\n{WORD}\n", "x"),
        (f"hi\n{WORD}\n", ""),
        (f"hi\n{WORD}\n", "\n0\n"),
        (f"hi\n{WORD}\n", f"\n{WORD} 1"),
        (f"hi\n{WORD}\n", f"\n{WORD} \n"),
        ("hi\n", f"\n{WORD} 0\n"),
        (f"hi\n{WORD}", f"\n{WORD} 0\n"),
        ("", f"\n{WORD} 0\n"),
    ],
)
def test_damaged_frame_is_a_failure(out, tail):
    """Invalid base64, a missing exit status and a missing end are failures of the probe."""
    whole = parse([sh("a", "true")], WORD, frame(f"hi\n{WORD}\n", f"\n{WORD} 0\n"))["a"]
    answer = parse([sh("a", "true")], WORD, frame(out, tail))["a"]

    assert (whole.failure, whole.rc, whole.stdout) == (None, 0, "hi\n")
    assert answer.failure is not None
    assert answer.stdout == ""


@pytest.mark.parametrize("program", ["base64", "head", "tail"])
def test_an_answer_that_a_killed_program_cuts_is_a_failure(tmp_path, program):
    """What a program leaves after its first line is valid: a shorter output, or another exit status."""
    killed = tmp_path / program
    killed.write_text(f'#!/bin/sh\n{shutil.which(program)} "$@" | /usr/bin/head -n 1\nkill -9 $$\n')
    killed.chmod(0o755)
    probes = [sh("a", "seq 1000 1100; seq 1 9 >&2; exit 7")]
    text = script(probes, WORD).replace("PATH=/", f"PATH={tmp_path}:/", 1)

    done = subprocess.run(["/bin/sh"], input=text.encode(), capture_output=True, check=False)
    answer = parse(probes, WORD, done.stdout)["a"]

    assert (answer.failure and answer.failure.kind, answer.stdout) == (FailureKind.GARBLED, "")


def test_units_are_read_before_the_api_is_asked():
    """An API request starts the daemon by socket activation. The state in systemd must be read before that."""
    ids = [probe.id for probe in TABLE]

    assert ids.index("units") < min(ids.index(name) for name in ("socket", "socket-access"))


def test_zfs_probes_run_only_if_the_site_uses_zfs():
    """A host without ZFS has no failure because of a missing zpool command."""
    assert {p.id for p in select(ProbeOptions(zfs=True))} - {p.id for p in select(ProbeOptions())} == {
        "arcstats",
        "zpool-json",
        "zpool-text",
        "zpool-list",
        "zfs-created",
    }


def test_secrets_never_reach_evidence():
    """Values of user.*, cloud-init.*, environment.*, passwords and tokens are redacted in any part of an answer."""
    secrets = [
        "user.data",
        "cloud-init.user-data",
        "environment.API",
        "core.trust_password",
        "loki.auth.password",
        "join_token",
        "network.ovn.client_key",
        "storage.linstor.client_key",
        "truenas.api_key",
        "acme.eab.hmac",
        "acme.provider.environment",
        "systemd.credential.x",
        "user.pin_expiry",
    ]
    given = [
        {
            "config": dict.fromkeys(secrets, "MARKER"),
            "environment": {"kernel": "Linux"},
            "expanded_config": {"user.x": "MARKER"},
            "secrets": ["MARKER"],
        }
    ]

    kept = redact(given)

    assert "MARKER" not in json.dumps(kept)
    assert kept[0]["environment"] == {"kernel": "Linux"}
    assert set(kept[0]["config"]) == set(secrets)


@pytest.mark.parametrize(
    ("exists", "access", "kind"),
    [(0, 0, FailureKind.DOWN), (0, 1, FailureKind.DENIED), (1, 1, FailureKind.DOWN), (None, 0, FailureKind.GARBLED)],
)
def test_silent_socket_is_down_only_if_we_have_access(exists, access, kind):
    """A permission error is never reported as a daemon that is down."""
    failed = Failure(FailureKind.TIMEOUT, "no end")
    probes = {
        "socket": Answer(f"test -S {SOCKET}", exists, failure=failed if exists is None else None),
        "socket-access": Answer(f"test -w {SOCKET}", access),
    }

    assert explain_socket("sigsrv", probes).kind is kind


def test_evidence_is_unchanged_after_save_and_load(tmp_path):
    """The files are readable only by their owner."""
    kept = evidence.load(data.DEMO / "evidence")
    kept["minisrv"] = dataclasses.replace(kept["minisrv"], failure=Failure(FailureKind.UNREACHABLE, "away"))

    evidence.save(tmp_path / "e", "run", kept)

    assert evidence.load(tmp_path / "e") == kept
    assert {path.stat().st_mode & 0o777 for path in (tmp_path / "e").iterdir()} == {0o600}


def test_modified_evidence_is_refused(tmp_path):
    """The digest of each host's file must match the saved one."""
    shutil.copytree(data.DEMO / "evidence", tmp_path / "e")
    path = tmp_path / "e" / "minisrv.json"
    path.write_text(path.read_text().replace('"master\\": \\"sigsrvbr0', '"master\\": \\"userbr0') + " ")

    with pytest.raises(UsageError, match=r"minisrv\.json: changed since it was saved"):
        evidence.load(tmp_path / "e")


@pytest.mark.parametrize("content", ["", "{}", "[]", '{"format": 1, "hosts": {"a": {"file": "a.json", "sha256": ""}}}'])
def test_folder_without_evidence_is_refused(tmp_path, content):
    """It is an error, and never an empty cluster."""
    (tmp_path / "evidence.json").write_text(content)

    with pytest.raises(UsageError):
        evidence.load(tmp_path)


@pytest.mark.parametrize("name", ["evidence.json", "sigsrv.json"])
@pytest.mark.parametrize(
    ("number", "message", "hint"),
    [
        (2, "format 2 is newer than the one that this sigsrv reads: 1", "upgrade sigsrv"),
        (0, "format 0 is not the one that this sigsrv reads: 1", "save the evidence again"),
        ("1", "format '1' is not the one", "save the evidence again"),
        (True, "format True is not the one", "save the evidence again"),
    ],
)
def test_evidence_of_another_format_is_refused(tmp_path, name, number, message, hint):
    """Its meaning is unknown. This applies to the index and to the file of each host."""
    shutil.copytree(data.DEMO / "evidence", tmp_path / "e")
    path = tmp_path / "e" / name
    path.write_text(json.dumps({**json.loads(path.read_text()), "format": number}))

    with pytest.raises(UsageError) as caught:
        evidence.load(tmp_path / "e", unverified=True)

    assert caught.value.message.startswith(f"{path}: {message}")
    assert caught.value.hint.startswith(hint)


def test_local_command_has_limits_for_output_and_time():
    """A command that prints too much, or does not end, is killed."""
    rc, out, _ = bounded(["yes"], 10, 100_000)

    assert rc != 0
    assert 100_000 < len(out) < 10_000_000
    with pytest.raises(subprocess.TimeoutExpired):
        bounded(["sleep", "30"], 0.2, 1000)


def test_unknown_host_name_is_unreachable_with_the_reason_of_ssh():
    """The reason is the message of ssh, on one line."""
    with (
        pytest.raises(ConnectionFailed) as caught,
        open_session(Target("no-such-host.invalid", ssh_config="/dev/null")),
    ):
        pass

    assert caught.value.failure.kind is FailureKind.UNREACHABLE
    assert "no-such-host.invalid" in caught.value.failure.reason


def test_site_sets_the_arguments_of_probes():
    """The site sets the units, the hours of the journal and the backup folder. Without a folder, no probe looks for backups."""
    options = ProbeOptions(units=("vlans.service", "incus.service"), journal_hours=48, backups="/srv/back ups")
    chosen = {probe.id: probe for probe in select(options)}

    assert chosen["units"].command[-4:] == (*UNITS, "vlans.service")
    assert chosen["journal"].command[-1] == "--since=-48h"
    assert chosen["backups"].shell.startswith("find -H '/srv/back ups' -type f")
    assert "backups" not in {probe.id for probe in select(ProbeOptions())}


def test_probe_that_needs_root_runs_with_sudo_for_other_users(tmp_path):
    """The script checks its user once. sudo never prompts."""
    (tmp_path / "id").write_text("#!/bin/sh\necho 1000\n")
    (tmp_path / "sudo").write_text('#!/bin/sh\necho "under sudo: $*"\n')
    for name in ("id", "sudo"):
        (tmp_path / name).chmod(0o755)
    probes = [Probe("a", ("echo", "one"), "test", root=True), Probe("b", ("echo", "two"), "test")]
    text = script(probes, WORD).replace("PATH=/", f"PATH={tmp_path}:/", 1)
    done = subprocess.run(["/bin/sh"], input=text.encode(), capture_output=True, check=True)
    answers = parse(probes, WORD, done.stdout)

    assert answers["a"].stdout == "under sudo: -n echo one\n"
    assert answers["b"].stdout == "two\n"


def test_only_token_fields_of_operations_are_kept():
    """The operation of a command in an instance has its command line, its environment and the secrets of its connections."""
    common = {
        "id": "1",
        "created_at": "2026-11-27T10:00:00Z",
        "status": "Running",
        "location": "minisrv",
        "resources": {},
    }
    ran = {"fds": {"0": "MARKER"}, "command": ["mysql", "-pMARKER"], "environment": {"MYSQL_PWD": "MARKER"}}
    token = {
        "request": {"name": "ada", "token": "MARKER"},
        "secret": "MARKER",
        "serverName": "third",
        "addresses": ["10.0.0.1"],
    }
    rows = [{**common, "class": "websocket", "metadata": ran}, {**common, "class": "token", "metadata": token}]

    kept = redact_operations({"running": [*rows, {**common, "class": "task", "metadata": None, "err": "MARKER"}]})

    assert "MARKER" not in json.dumps(kept)
    assert [row["class"] for row in kept["running"]] == ["websocket", "token", "task"]
    assert kept["running"][1]["metadata"] == {"request": {"name": "ada"}, "serverName": "third"}
    assert redact_operations(["MARKER"]) is None


def test_token_lifetime_is_no_secret():
    """The key has "token" in its name, but a policy evaluates its value."""
    assert redact({"core.remote_token_expiry": "15M", "join_token": "x"}) == {
        "core.remote_token_expiry": "15M",
        "join_token": "(redacted)",
    }


def test_unknown_member_name_is_read_from_the_daemon(monkeypatch):
    """Without a site file, the daemon itself reports the name of the member."""
    asked: list[str] = []

    def answer(client, url, *_):
        asked.append(url)
        return ApiAnswer(200, [{"name": "p"}] if url == urls.POOLS else [])

    monkeypatch.setattr(api, "_get", answer)
    client = SimpleNamespace(
        api=SimpleNamespace(session=requests.Session()),
        host_info={"environment": {"server_clustered": True, "server_name": "minisrv"}},
    )

    for member in ("", "alias"):
        api.collect_api([lambda _: client], member, time.monotonic() + 5, lambda: pytest.fail("unexpected call"))

    assert [url for url in asked if url.startswith("/1.0/storage-pools/p?")] == [
        urls.pool_url("p", "minisrv"),
        urls.pool_url("p", "alias"),
    ]


@pytest.mark.parametrize(
    ("statuses", "seen"),
    [
        (["Starting", "Running"], "Running"),
        (["Stopping", "Stopping"], "Stopping"),
        (["Stopping", None], "Stopping"),
        (["Running"], "Running"),
    ],
)
def test_instance_in_transition_is_read_again(monkeypatch, statuses, seen):
    """An instance that starts during a scan is not a fault.

    The second answer counts, even if it is still in transition. If the second request fails, the first answer counts.
    """
    left = list(statuses)

    def answer(client, url, *_):
        if url != urls.INSTANCES:
            return ApiAnswer(200, [])
        status = left.pop(0)
        return (
            ApiAnswer(200, [{"status": status}]) if status else ApiAnswer(failure=Failure(FailureKind.TIMEOUT, "late"))
        )

    monkeypatch.setattr(api, "_get", answer)
    monkeypatch.setattr(api, "TRANSITION_S", 0.01)
    client = SimpleNamespace(
        api=SimpleNamespace(session=requests.Session()), host_info={"environment": {"server_clustered": False}}
    )

    found = api.collect_api([lambda _: client], "sigsrv", time.monotonic() + 15, lambda: pytest.fail("unexpected call"))

    assert found[urls.INSTANCES].metadata == [{"status": seen}]
    assert left == []


def test_instance_in_transition_is_read_once_if_no_time_is_left(monkeypatch):
    """The remaining time of the host is for its other answers."""
    monkeypatch.setattr(api, "_get", lambda client, url, *_: ApiAnswer(200, [{"status": "Starting"}]))
    monkeypatch.setattr(time, "sleep", lambda _: pytest.fail("unexpected sleep"))
    client = SimpleNamespace(
        api=SimpleNamespace(session=requests.Session()), host_info={"environment": {"server_clustered": False}}
    )

    found = api.collect_api([lambda _: client], "sigsrv", time.monotonic() + 9, lambda: pytest.fail("unexpected call"))

    assert found[urls.INSTANCES].metadata == [{"status": "Starting"}]


@pytest.mark.parametrize(
    ("text", "kept"),
    [
        ("https://me:hunter2@logs.example.org:3100/x", "https://me:(redacted)@logs.example.org:3100/x"),
        ("http://me:p@ss:w@proxy/", "http://me:(redacted)@proxy/"),
        ("http://:hunter2@proxy", "http://:(redacted)@proxy"),
        ("https://logs.example.org:3100/a@b:c@d", "https://logs.example.org:3100/a@b:c@d"),
        ("a@b:c@d", "a@b:c@d"),
    ],
)
def test_password_in_a_url_is_redacted(text, kept):
    """The address of a proxy or log server may contain one. A policy evaluates the rest of the address."""
    assert redact({"core.proxy_http": text, "in": [text]}) == {"core.proxy_http": kept, "in": [kept]}


@pytest.mark.parametrize(
    ("timeout_s", "reason"),
    [(-1.0, "sigsrv: not finished in -1 s (--timeout)"), (60.0, "sigsrv: Connection closed by UNKNOWN port 65535")],
)
def test_connection_closed_at_the_timeout_reports_the_timeout(timeout_s, reason, monkeypatch):
    """The message of ssh is useless if sigsrv ended its master. If ssh ended by itself, its message is the reason."""
    said = b"mux_client_request_session: read from master failed\r\nConnection closed by UNKNOWN port 65535\r\n"
    monkeypatch.setattr("sigsrv.collect.connection.run_bounded", lambda *_: (255, b"", said))
    session = open_session(Target("sigsrv", timeout_s=timeout_s))

    with pytest.raises(ConnectionFailed) as caught:
        session.run("true", 5)
    session.close()

    assert caught.value.failure.reason == reason


def test_slow_probe_without_remaining_time_reports_the_timeout(monkeypatch):
    """Earlier requests used the time of the host. The probe does not start, and the answers before it are kept."""
    with open_session(Target("sigsrv", connection="local")) as session:
        monkeypatch.setattr("sigsrv.collect.hosts.collect_api", lambda *_: session.extend(-1) or {})
        found = gather(session, "sigsrv", [Probe("quick", ("true",), "x"), Probe("last", ("true",), "x", slow=True)])

    assert found.probes["quick"].failure is None
    assert found.probes["last"].failure == Failure(
        FailureKind.TIMEOUT, "sigsrv: not run: the host's timeout expired first"
    )
