"""Tests ``sigsrv waive`` and how scans use the waiver file."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from datetime import UTC, datetime, timedelta, timezone
from pathlib import Path

import pytest
import yaml

from sigsrv.commands import waive as command
from sigsrv.commands.main import main
from sigsrv.model import policy, waiver
from sigsrv.model.errors import UsageError
from tests.saved import AT, FAILING, PRIVILEGED, saved

POLICIES = policy.load()
END = datetime.fromtimestamp(AT, UTC) + timedelta(days=60)
ENTRY = {
    "policy": "INST-001",
    "host": "minisrv",
    "resource": "default/db",
    "owner": "Ada Ops",
    "reason": "NFS: the #1 reason",
    "until": "2027-01-17T12:00:00+00:00",
    "created": "2026-11-18T12:00:00+00:00",
}


@pytest.fixture(autouse=True)
def at_home(monkeypatch):
    """Keep the user's environment out of the tests."""
    for name in ("SIGSRV_SITE", "SUDO_USER"):
        monkeypatch.delenv(name, raising=False)


def sigsrv(capsys, *argv: str) -> tuple[int, str, str]:
    status = main(argv)
    said = capsys.readouterr()
    return status, said.out, said.err


def waive(capsys, folder: Path, *more: str, finding=FAILING, until="300d") -> tuple[int, str, str]:
    where = ("--site", str(folder / "site.yaml"), "--report-dir", str(folder / "out"))
    return sigsrv(capsys, "waive", finding, "--reason", "NFS server", "--until", until, *where, *more)


def scanned(capsys, options, *more) -> tuple[int, str, dict]:
    status, out, err = sigsrv(capsys, "scan", *options, *more)
    assert not err
    return status, out, json.loads((Path(options[-1]) / "latest" / "findings.json").read_text())


def write(folder: Path, **more: str) -> None:
    """Write a waiver file with one waiver, of the finding that fails."""
    entry = ENTRY | {"until": END.isoformat()} | more
    (folder / "waivers.yaml").write_text(yaml.safe_dump({"version": 1, "waivers": [entry]}))


def verdicts(data: dict) -> dict[str, str]:
    return {finding["id"]: finding["verdict"] for finding in data["findings"]}


def test_a_waived_failure_is_shown_with_its_real_state(capsys, tmp_path):
    """After ``waive``, a scan shows it as waived, with the observed state, the owner, the reason and the end."""
    options = saved(tmp_path, PRIVILEGED)
    status, _, before = scanned(capsys, options)
    assert (status, verdicts(before)[FAILING]) == (1, "fail")

    status, out, _ = waive(capsys, tmp_path, "--owner", "Ada Ops")
    assert status == 0
    assert out.startswith(f"{FAILING}: waived by Ada Ops until ")
    assert f"{tmp_path}/waivers.yaml:5: " in out

    status, out, after = scanned(capsys, options)
    assert (status, out) == (0, "")
    assert {key: found for key, found in verdicts(after).items() if found != verdicts(before)[key]} == {
        FAILING: "waived"
    }
    was, now = (next(f for f in run["findings"] if f["id"] == FAILING) for run in (before, after))
    assert {key for key in was if was[key] != now[key]} == {"verdict", "waiver"}
    assert (now["waiver"]["owner"], now["waiver"]["reason"]) == ("Ada Ops", "NFS server")
    assert [use["state"] for use in after["waivers"]] == ["active"]
    status, out, _ = scanned(capsys, (*options[:4], *options[4:]), "-v")
    assert "Waived (1)" in out
    assert "by Ada Ops until " in out


@pytest.mark.parametrize(
    ("days", "status", "verdict", "state", "said"),
    [
        (15, 0, "waived", "active", ""),
        (14, 0, "waived", "expiring", "ends in 14 days, on 2026-12-02 11:06:40 UTC; 1 finding fails after that"),
        (1, 0, "waived", "expiring", "ends in 1 day, on"),
        (0.5, 0, "waived", "expiring", "ends in less than a day, on"),
        (0, 1, "fail", "expired", "expired on 2026-11-18 11:06:40 UTC; 1 finding fails again"),
        (-9, 1, "fail", "expired", "expired on 2026-11-09 11:06:40 UTC; 1 finding fails again"),
    ],
)
def test_a_run_warns_before_a_waiver_ends_and_fails_afterwards(capsys, tmp_path, days, status, verdict, state, said):
    """The time of the evidence counts. The warning is printed even if the scan is compliant, and does not change its exit status."""
    options = saved(tmp_path, PRIVILEGED)
    until = datetime.fromtimestamp(AT, UTC) + timedelta(days=days)
    write(tmp_path, until=until.isoformat(), created="2026-02-01T00:00:00Z")

    found = scanned(capsys, options)

    assert (found[0], verdicts(found[2])[FAILING], found[2]["waivers"][0]["state"]) == (status, verdict, state)
    assert said in " ".join(found[1].split())
    assert (found[1] == "") is (state == "active")
    if status == 0 and said:
        assert found[1].startswith("example: Compliant, 1 waived\n\nWaivers to review: 1 ending soon\n")
        assert "INST-001@minisrv/default/db" in found[1]
        assert f"report: {tmp_path}/out/latest/report.html" in found[1]
        assert max(map(len, found[1].replace(str(tmp_path), "").splitlines())) <= 80


def test_a_compliant_scan_reports_a_waiver_that_is_no_longer_needed(capsys, tmp_path):
    """The exit status is 0, and the output has the file and line of the waiver to remove."""
    options = saved(tmp_path)
    write(tmp_path)

    status, out, found = scanned(capsys, options)

    assert status == 0
    assert "Waivers to review: 1 no longer needed" in out
    assert f"      {tmp_path}/waivers.yaml:3\n" in out
    assert [use["state"] for use in found["waivers"]] == ["stale"]


def test_a_scan_of_some_hosts_calls_no_waiver_of_other_hosts_stale(capsys, tmp_path):
    """The host of the waiver was not scanned."""
    options = saved(tmp_path)
    write(tmp_path)

    status, out, found = scanned(capsys, options, "--hosts", "sigsrv")

    assert (status, out, [use["state"] for use in found["waivers"]]) == (0, "", ["active"])


def test_a_waiver_does_not_hide_an_error(capsys, tmp_path):
    """An unreachable host gives ``error`` and exit status 3 despite the waiver, and the waiver is not stale."""
    away = {"op": "replace", "path": "/minisrv/failure", "value": {"kind": "unreachable", "reason": "no route to host"}}
    options = saved(tmp_path, PRIVILEGED, away)
    _, _, before = scanned(capsys, options)
    write(tmp_path, policy="*-*", host="*", resource="*")

    status, _, found = scanned(capsys, options)

    assert status == 3
    assert found["summary"]["error"] == before["summary"]["error"] > 9
    assert found["summary"]["waived"] == before["summary"]["fail"]
    assert [use["state"] for use in found["waivers"]] == ["active"]


def test_a_replay_does_not_depend_on_the_clock(capsys, tmp_path, monkeypatch):
    """Verdicts, reasons and states of waivers depend on the time of the evidence, even ten years later."""
    options = saved(tmp_path, PRIVILEGED)
    write(tmp_path)
    now = scanned(capsys, options)
    for clock in (AT - 10**8, AT + 10**7, AT + 10**9):
        monkeypatch.setattr("sigsrv.scan.plan.time.time", lambda clock=clock: clock)
        later = scanned(capsys, options)
        assert (later[0], later[2]["findings"], later[2]["waivers"]) == (now[0], now[2]["findings"], now[2]["waivers"])


def test_a_host_without_evidence_does_not_make_the_clock_count(capsys, tmp_path, monkeypatch):
    """A waiver is compared with the time of the existing evidence."""
    options = saved(tmp_path, PRIVILEGED)
    write(tmp_path)
    index = tmp_path / "evidence" / "evidence.json"
    content = json.loads(index.read_text())
    del content["hosts"]["sigsrv"]
    index.write_text(json.dumps(content))
    monkeypatch.setattr("sigsrv.scan.plan.time.time", lambda: AT + 10**9)

    status, _, found = scanned(capsys, options)

    assert (status, verdicts(found)[FAILING]) == (3, "waived")


@pytest.mark.parametrize(("host", "verdict"), [("sigsrv", "fail"), ("minisrv", "fail"), (None, "waived")])
def test_the_newest_evidence_defines_the_time_of_a_run(capsys, tmp_path, host, verdict):
    """A waiver has ended if one host was scanned after its end."""
    later = [{"op": "replace", "path": f"/{host}/collected", "value": AT + 7200}] if host else []
    options = saved(tmp_path, PRIVILEGED, *later)
    write(tmp_path, until=(datetime.fromtimestamp(AT, UTC) + timedelta(hours=1)).isoformat())

    assert verdicts(scanned(capsys, options)[2])[FAILING] == verdict


def test_a_live_scan_compares_waivers_with_the_clock_first(capsys, tmp_path, monkeypatch):
    """Without ``created``, the limit of a year counts from now. A ``created`` in the future is refused before any host is contacted."""
    saved(tmp_path)
    monkeypatch.setattr("sigsrv.scan.scan.collect", lambda *_: pytest.fail("a host was asked"))
    where = ("scan", "--site", str(tmp_path / "site.yaml"), "--report-dir", str(tmp_path / "out"))
    later = datetime.now(UTC) + timedelta(days=3)
    for created, until, said in (
        (None, later + timedelta(days=363), "until: 366 days is too long"),
        (later, later + timedelta(days=1), "is in the future"),
    ):
        entry = {**ENTRY, "until": until.isoformat(), **({"created": created.isoformat()} if created else {})}
        if not created:
            del entry["created"]
        (tmp_path / "waivers.yaml").write_text(json.dumps({"version": 1, "waivers": [entry]}))
        status, _, err = sigsrv(capsys, *where)
        assert (status, said in err) == (2, True)


def test_a_selection_does_not_change_which_waivers_are_stale(capsys, tmp_path):
    """All policies are evaluated, so the state of a waiver is known even if its policy is not selected."""
    options = saved(tmp_path, PRIVILEGED)
    write(tmp_path)
    found = scanned(capsys, options, "--family", "net")
    assert (found[0], found[1], found[2]["waivers"][0]["state"]) == (0, "", "active")
    assert found[2]["waivers"][0]["findings"] == [FAILING]

    found = scanned(capsys, saved(tmp_path), "--family", "net")
    assert (found[0], found[2]["waivers"][0]["state"]) == (0, "stale")


def test_the_waivers_option_wins_over_the_default_file(capsys, tmp_path):
    """This applies to ``scan`` and ``waive``."""
    options = saved(tmp_path, PRIVILEGED)
    write(tmp_path)
    other = tmp_path / "other.yaml"
    other.write_text("version: 1\n")

    assert scanned(capsys, options, "--waivers", str(other))[0] == 1
    assert waive(capsys, tmp_path, "--waivers", str(other))[0] == 0
    assert scanned(capsys, options, "--waivers", str(other))[0] == 0


def test_an_invalid_waiver_file_stops_a_scan_before_it_contacts_hosts(capsys, tmp_path):
    """Exit status 2 with file and line. An end that is too far from the time of the run is also a mistake."""
    options = saved(tmp_path, PRIVILEGED)
    (tmp_path / "waivers.yaml").write_text("version: 1\nwaivers:\n  - {policy: INST-1}\n")
    status, _, err = sigsrv(capsys, "scan", *options)
    assert (status, f"{tmp_path}/waivers.yaml:3: " in err) == (2, True)

    far = ENTRY | {"until": (datetime.fromtimestamp(AT, UTC) + timedelta(days=365, seconds=1)).isoformat()}
    del far["created"]
    (tmp_path / "waivers.yaml").write_text(json.dumps({"version": 1, "waivers": [far]}))
    status, _, err = sigsrv(capsys, "scan", *options)
    assert (status, "366 days is too long: the maximum is 365" in err) == (2, True)
    assert not (tmp_path / "out" / "latest").exists()


def test_the_site_can_shorten_the_maximum_of_a_year(capsys, tmp_path):
    """``waivers.max_days`` applies to the file and to the command."""
    options = saved(tmp_path, PRIVILEGED, {"op": "add", "path": "/site/waivers", "value": {"max_days": 30}})
    scanned(capsys, options)

    status, _, err = waive(capsys, tmp_path, until="31d")
    assert (status, "31 days is too long: the maximum is 30 (waivers.max_days in the site file)" in err) == (2, True)
    assert waive(capsys, tmp_path, until="30d")[0] == 0
    write(tmp_path)
    assert sigsrv(capsys, "scan", *options)[0] == 2


@pytest.mark.parametrize(
    ("finding", "more", "message", "hint"),
    [
        ("nonsense", (), "is not a finding id", "POLICY@HOST/RESOURCE"),
        (
            "INST-001@minisrv/default/dp",
            (),
            " has no such finding",
            'did you mean "INST-001@minisrv/default/db"?',
        ),
        ("INST-001@minisrv/zzz", (), "has no such finding", "to waive it anyway: --force"),
        ("INST-999@minisrv/x", (), "has no such finding", "run sigsrv scan; to waive it anyway: --force"),
        ("INST-999@minisrv/x", ("--force",), "there is no policy INST-999", ""),
        (
            "INST-001@sigsrv/default/web",
            (),
            "only a failure can be waived; its verdict in run ",
            "run sigsrv scan",
        ),
        ("INST-001@sigsrv/default/web", ("--replace",), ": pass\n", ""),
        ("POOL-001@minisrv/minisrv", (), ": could not be determined (", ""),
        (FAILING, ("--until", "2026-01-01"), '"2026-01-01" is in the past', "30d, 2026-12-31"),
        (FAILING, ("--until", "366d"), "366 days is too long: the maximum is 365", "at most 365d"),
        (FAILING, ("--until", "2099-01-01T00:00:00"), "has no time zone", "2099-01-01T00:00:00"),
        (FAILING, ("--until", "tomorrow"), '"tomorrow" is not a time', "30d"),
        (FAILING, ("--until", "0d"), '"0d" is in the past', ""),
        (FAILING, ("--reason", " "), "--reason: ' ' is empty or contains hidden characters", ""),
        (FAILING, ("--owner", "a\x1bb"), "--owner: ", ""),
        (FAILING, ("--waivers", "/proc/nowhere/w.yaml"), "cannot write the waiver", ""),
    ],
)
def test_an_invalid_waiver_is_refused_and_nothing_is_written(capsys, tmp_path, finding, more, message, hint):
    """Exit status 2, a message with a hint, and no file."""
    broken = {
        "op": "add",
        "path": "/minisrv/failures/~11.0~1storage-pools?recursion=1",
        "value": {"kind": "timeout", "reason": "no end"},
    }
    scanned(capsys, saved(tmp_path, PRIVILEGED, broken))

    status, _, err = waive(capsys, tmp_path, *more, finding=finding)

    assert status == 2
    assert message in err
    assert hint in err
    assert not (tmp_path / "waivers.yaml").exists()


def test_force_does_not_turn_an_error_into_a_pass(capsys, tmp_path):
    """``--force`` writes a waiver without a check against the latest run. An error stays an error."""
    away = {"op": "replace", "path": "/minisrv/failure", "value": {"kind": "unreachable", "reason": "no route to host"}}
    options = saved(tmp_path, away)
    before = scanned(capsys, options)

    assert waive(capsys, tmp_path, "--force", finding="HOST-001@minisrv/minisrv")[0] == 0

    after = scanned(capsys, options)
    assert (after[0], verdicts(after[2])) == (3, verdicts(before[2]))


def test_a_name_that_looks_like_a_glob_is_escaped(capsys, tmp_path):
    """The waiver matches exactly one finding. A name with hidden characters is refused."""
    saved(tmp_path)

    assert waive(capsys, tmp_path, "--force", finding="INST-001@minisrv/default/a%2A%5B1%5D")[0] == 0
    status, _, err = waive(capsys, tmp_path, "--force", finding="INST-001@minisrv/default/a%E2%80%AE")

    assert (status, "contains hidden characters" in err) == (2, True)
    (found,) = waiver.load(tmp_path / "waivers.yaml", POLICIES, 365)
    assert found.resource == "default/a[*][[]1]"


def test_a_latest_run_of_another_site_is_refused(capsys, tmp_path):
    """After ``sigsrv demo``, a finding of the demo does not get into the user's own file."""
    saved(tmp_path, PRIVILEGED)
    sigsrv(capsys, "demo", "--report-dir", str(tmp_path / "out"))

    status, _, err = waive(capsys, tmp_path)

    assert (status, "is the demo" in err) == (2, True)


def test_a_second_waiver_of_a_finding_needs_replace(capsys, tmp_path):
    """``--replace`` overwrites owner, reason and end in the same place of the file."""
    scanned(capsys, saved(tmp_path, PRIVILEGED))
    waive(capsys, tmp_path, "--owner", "Ada", until="10d")
    first = (tmp_path / "waivers.yaml").read_text()

    status, _, err = waive(capsys, tmp_path, "--owner", "Bo", until="20d")
    assert (status, "Ada already waived INST-001@minisrv/default/db" in err) == (2, True)
    assert "--replace" in err
    assert (tmp_path / "waivers.yaml").read_text() == first

    assert waive(capsys, tmp_path, "--owner", "Bo", "--replace", until="20d")[0] == 0
    (found,) = waiver.load(tmp_path / "waivers.yaml", POLICIES, 365)
    assert found.owner == "Bo"
    assert found.created
    assert found.until - found.created == timedelta(days=20)


def test_a_finding_that_a_glob_already_waives_is_refused(capsys, tmp_path):
    """The message has the file and line of the existing waiver."""
    options = saved(tmp_path, PRIVILEGED)
    write(tmp_path, resource="default/*", created="2026-11-01T00:00:00Z")
    scanned(capsys, options)

    status, _, err = waive(capsys, tmp_path)

    assert (status, "already waived by Ada Ops until " in err) == (2, True)
    assert f"{tmp_path}/waivers.yaml:3" in err
    assert waive(capsys, tmp_path, "--replace")[0] == 0
    assert len(waiver.load(tmp_path / "waivers.yaml", POLICIES, 365)) == 2


NOW = datetime(2026, 11, 18, 12, 0, tzinfo=timezone(timedelta(hours=1)))


@pytest.mark.parametrize(
    ("text", "wanted"),
    [
        ("30d", "2026-12-18T12:00:00+01:00"),
        ("12h", "2026-11-19T00:00:00+01:00"),
        ("4w", "2026-12-16T12:00:00+01:00"),
        ("2026-12-31T18:00:00+05:30", "2026-12-31T18:00:00+05:30"),
        ("2026-12-31t18:00:00z", "2026-12-31T18:00:00+00:00"),
        ("2026-12-31T18:00-08:00", "2026-12-31T18:00:00-08:00"),
    ],
)
def test_until_takes_a_span_or_a_time_with_its_zone(text, wanted):
    """A span counts from now; a time stays as given."""
    assert command.parse_until(text, NOW).isoformat() == wanted


def test_a_date_means_the_end_of_that_day_in_local_time(tmp_path):
    """Daylight saving time counts. A date that does not exist is refused."""
    code = (
        "from datetime import *; from sigsrv.commands.waive import parse_until; n = datetime(2026, 3, 1, tzinfo=timezone.utc)\n"
        "print(parse_until('2026-03-28', n).isoformat(), parse_until('2026-03-29', n).isoformat())"
    )
    env = {**os.environ, "TZ": "Europe/Berlin"}
    done = subprocess.run([sys.executable, "-c", code], env=env, capture_output=True, text=True, check=True)

    assert done.stdout == "2026-03-28T23:59:59+01:00 2026-03-29T23:59:59+02:00\n"
    with pytest.raises(UsageError, match="is not a time"):
        command.parse_until("2026-02-30", NOW)


@pytest.mark.parametrize(
    ("gecos", "name", "wanted"), [("Ada Ops,Room 1,,", "ada", "Ada Ops"), ("", "ada", "ada"), (",,,", "ada", "ada")]
)
def test_the_default_owner_is_the_user(monkeypatch, gecos, name, wanted):
    """It is the full name of the account, else the account name; under sudo, that of the caller."""
    import pwd

    account = pwd.struct_passwd((name, "x", 1, 1, gecos, "/", "/bin/sh"))
    monkeypatch.setattr(pwd, "getpwuid", lambda _: account)
    assert command.default_owner() == wanted
    monkeypatch.setattr(pwd, "getpwuid", lambda _: pytest.fail("root is nobody's name"))
    monkeypatch.setattr(pwd, "getpwnam", lambda given: account if given == "ada" else pytest.fail(given))
    monkeypatch.setenv("SUDO_USER", "ada")
    assert command.default_owner() == wanted
