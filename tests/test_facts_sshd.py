"""Tests the facts about sshd: its settings, and the Match blocks in its files."""

from __future__ import annotations

import shutil
import subprocess
from pathlib import Path

import pytest

from sigsrv.collect import probes
from sigsrv.collect.evidence import Answer, Evidence
from sigsrv.facts import sshd
from sigsrv.facts.machine import MachineFacts
from sigsrv.model.errors import EvidenceError
from tests.namespaces import needs_root

SETTINGS = "permitrootlogin no\npasswordauthentication no\nkbdinteractiveauthentication no\npermitemptypasswords no\n"
MAIN = "/etc/ssh/sshd_config"
NOT_GIVEN = "'Match {}' in configuration but '{}' not in connection test specification."


def numbered(**files: str) -> str:
    """Return files as the probe prints them. main: sshd_config; others are files of sshd_config.d."""
    paths = {name: MAIN if name == "main" else f"{MAIN}.d/{name}.conf" for name in files}
    rows = (
        (paths[name], number, line) for name, text in files.items() for number, line in enumerate(text.splitlines(), 1)
    )
    return "".join(f"{path}:{number}:{line}\n" for path, number, line in rows)


def found(**files: str) -> list[tuple[str, str, dict[str, str]]]:
    blocks = sshd.match_blocks(numbered(**files))
    return [(block.place.removeprefix("/etc/ssh/"), block.criteria, dict(block.settings)) for block in blocks]


def of(**answers: Answer | str) -> MachineFacts:
    made = {
        name.replace("_", "-"): Answer("sshd", 0, each) if isinstance(each, str) else each
        for name, each in answers.items()
    }
    return MachineFacts(Evidence("sigsrv", 0.0, probes=made))


def test_sshd_uses_the_first_value_of_a_repeated_setting():
    """Settings that no check reads may occur any number of times."""
    output = f"port 22\nport 23\n{SETTINGS}passwordauthentication yes\n"

    assert sshd.settings(output)["passwordauthentication"] == "no"


def test_keywords_are_read_in_any_case():
    """OpenSSH 10.6 prints PermitRootLogin, older versions permitrootlogin."""
    output = "Port 22\nPermitRootLogin no\nPasswordAuthentication yes\nKbdInteractiveAuthentication no\nPermitEmptyPasswords no\n"

    assert sshd.settings(output)["passwordauthentication"] == "yes"
    assert sshd.settings(output)["authenticationmethods"] == "any"
    assert (
        sshd.settings(f"{output}AuthenticationMethods publickey,password\n")["authenticationmethods"]
        == "publickey,password"
    )


def test_a_block_ends_at_the_next_one_and_with_its_file():
    """An included file is read where its Include is, in the order of names."""
    assert found(
        main="Include /etc/ssh/sshd_config.d/*.conf\nPasswordAuthentication yes\nMatch User bob\n X11Forwarding no\n",
        b="PasswordAuthentication yes\n",
        a='PermitRootLogin no\nMatch  Group "some users"  # why\n\tPasswordAuthentication = no\n# MATCH all\nmatch ALL\nUsePAM yes\n',
    ) == [
        ("sshd_config.d/a.conf:2", "Group some users", {"passwordauthentication": "no"}),
        ("sshd_config.d/a.conf:5", "ALL", {}),
        ("sshd_config:3", "User bob", {}),
    ]


def test_a_file_that_a_block_includes_is_a_part_of_it():
    """Its lines apply to the connections of the block only, and its own blocks to a part of them."""
    assert found(
        main="Match User bob\nInclude sshd_config.d/a.conf\nPasswordAuthentication no\n",
        a="PasswordAuthentication yes\nMatch Address 10.0.0.0/8\nPermitRootLogin yes\n",
    ) == [
        ("sshd_config.d/a.conf:1", "User bob", {"passwordauthentication": "yes"}),
        ("sshd_config.d/a.conf:2", "User bob Address 10.0.0.0/8", {"permitrootlogin": "yes"}),
        ("sshd_config:1", "User bob", {"passwordauthentication": "no"}),
    ]


@pytest.mark.parametrize(
    ("line", "setting"),
    [
        ("PasswordAuthentication yes", {"passwordauthentication": "yes"}),
        ("  passwordauthentication=yes", {"passwordauthentication": "yes"}),
        ('"PasswordAuthentication" "yes"', {"passwordauthentication": "yes"}),
        ("ChallengeResponseAuthentication yes # not", {"kbdinteractiveauthentication": "yes"}),
        ("SkeyAuthentication yes", {"kbdinteractiveauthentication": "yes"}),
        (
            "AuthenticationMethods  publickey,password   password",
            {"authenticationmethods": "publickey,password password"},
        ),
        ("PasswordAuthentication no\nPasswordAuthentication yes", {"passwordauthentication": "no"}),
    ],
)
def test_settings_of_a_block_are_read_as_sshd_reads_them(line, setting):
    """Quotes, an equals sign and old names mean the same; the first value of a block wins."""
    assert found(main=f"Match all\n{line}\n") == [("sshd_config:1", "all", setting)]


@pytest.mark.parametrize("pattern", ["*.conf", "a.conf", "[ab].conf", "?.conf"])
def test_an_include_may_have_a_pattern(pattern):
    """A file that no Include names is not read."""
    assert found(main=f"Include {MAIN}.d/{pattern}\n", a="Match all\n") == [("sshd_config.d/a.conf:1", "all", {})]
    assert found(main=f"Include {MAIN}.d/c*\n", a="Match all\n") == []


@pytest.mark.parametrize(
    "text",
    [
        "",
        "[]",
        "{}\n",
        f"{MAIN}:x:Match all\n",
        "/etc/passwd:1:root\n",
        f"{MAIN}.d/a.conf:1:Match all\n",
        f"{MAIN}:1:Match\n",
        f"{MAIN}:1:Include /etc/other.conf\n",
        f"{MAIN}:1:Include {MAIN}.d/*.conf ~/x.conf\n",
        f"{MAIN}:1:Include sshd_config.d/*/*.conf\n",
        f"{MAIN}:1:Include {MAIN}.d/a.conf\n{MAIN}.d/a.conf:1:Include {MAIN}.d/a.conf\n",
    ],
)
def test_files_that_are_not_all_there_are_an_error(text):
    """No line, a line of another file, and an Include of what was not read."""
    with pytest.raises(EvidenceError, match="sshd_config"):
        sshd.match_blocks(text)


@pytest.mark.parametrize(
    ("rc", "stdout", "stderr"),
    [
        (1, "", ""),
        (2, "", f"grep: {MAIN}: Permission denied"),
        (2, f"{MAIN}:1:UsePAM yes\n", f"grep: {MAIN}.d/a.conf: Input/output error"),
        (2, f"{MAIN}:1:UsePAM yes\n", f"grep: {MAIN}.d: No such file or directory\ngrep: {MAIN}: Permission denied"),
        (0, f"{MAIN}:1:UsePAM yes\n", "grep: warning"),
    ],
)
def test_a_part_of_the_files_is_an_error(rc, stdout, stderr):
    """What could not be read may have a Match block."""
    with pytest.raises(EvidenceError, match="sshd-config"):
        _ = of(sshd_config=Answer("grep", rc, stdout, stderr)).sshd_blocks


def test_a_host_without_the_folder_has_the_blocks_of_its_file():
    """The only failure of grep that hides nothing."""
    answer = Answer("grep", 2, f"{MAIN}:1:Match all\n", f"grep: {MAIN}.d: No such file or directory")

    assert len(of(sshd_config=answer).sshd_blocks) == 1


def test_sshd_that_needs_a_criterion_is_read_from_its_files():
    """If no file has that criterion, sshd reads other files than sigsrv."""
    root = Answer("sshd -T", 255, "", NOT_GIVEN.format("LocalPort", "lport"))
    blocks = numbered(main="Match user bob LOCALPORT 22\nPasswordAuthentication no\n")

    assert of(sshd_root=root, sshd_config=blocks).sshd_of_root is None
    for other in (NOT_GIVEN.format("RDomain", "rdomain"), "sshd: no hostkeys available -- exiting.", ""):
        with pytest.raises(EvidenceError, match="sshd-root"):
            _ = of(sshd_root=Answer("sshd -T", 255, "", other), sshd_config=blocks).sshd_of_root


@needs_root
@pytest.mark.parametrize(
    ("block", "opens"),
    [
        ("Match LocalPort 22", False),
        ("Match LocalPort 22 LocalAddress 10.0.0.1", False),
        ("Match User bob Group users Host *.lan Address 10.0.0.0/8", False),
        ("Match RDomain *", False),
        ('"Match" all', True),
    ],
)
def test_the_real_sshd_answers_the_probes_whatever_its_match_blocks(tmp_path, block, opens):
    """Both probes with their arguments, and grep, on this machine: sshd reports the settings, and the files show the block."""
    program = shutil.which("sshd") or "/usr/sbin/sshd"
    if not Path(program).exists():
        pytest.skip("sshd is not installed: apt-get install openssh-server")
    (tmp_path / "sshd_config.d").mkdir()
    (tmp_path / "sshd_config").write_text("# x\nInclude /etc/ssh/sshd_config.d/*.conf\nPasswordAuthentication no\n")
    (tmp_path / "sshd_config.d" / "a.conf").write_text(f"{block}\n  PasswordAuthentication yes\n")
    subprocess.run(["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", tmp_path / "ssh_host_ed25519_key"], check=True)
    mount = f"mount --bind {tmp_path} /etc/ssh && mount -t tmpfs none /run && mkdir /run/sshd && "

    def asked(name: str) -> Answer:
        (command,) = (each.shell for each in probes.TABLE if each.id == name)
        done = subprocess.run(
            ["unshare", "-m", "sh", "-c", mount + command], capture_output=True, text=True, check=False
        )
        return Answer(command, done.returncode, done.stdout, done.stderr.strip())

    facts = of(**{name.replace("-", "_"): asked(name) for name in ("sshd", "sshd-root", "sshd-config")})

    assert facts.sshd_of_users["passwordauthentication"] == ("yes" if opens else "no")
    assert facts.sshd_of_root is not None
    assert [each.settings for each in facts.sshd_blocks] == [{"passwordauthentication": "yes"}]
