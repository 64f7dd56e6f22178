"""Tests with the real sudo that the printed sudoers file allows the commands of a scan and nothing else."""

from __future__ import annotations

import itertools
import shlex
import shutil
import subprocess
from collections.abc import Iterator, Sequence
from pathlib import Path

import pytest
import yaml

from sigsrv.commands import main, privileges
from sigsrv.model import site_file
from sigsrv.model.site import Site
from tests.namespaces import needs_root

FIND = ("-H", "/srv/backups", "-type", "f", "-printf", "%T@ %s %p\\0")
# In a mount namespace of its own, so nothing stays: another /etc/sudoers.d, a private folder, and one of the account with links to it.
PREPARE = """set -eu
mount --make-rprivate /
for place in /etc/sudoers.d /srv /mnt; do mount -t tmpfs -o mode=755 none $place; done
mkdir -m 700 /srv/private; echo x >/srv/private/name-of-a-secret
mkdir /srv/backups /mnt/own; echo x >/srv/backups/one
cp {rules} /etc/sudoers.d/sigsrv; chmod 440 /etc/sudoers.d/sigsrv
printf '#!/bin/sh\\necho "incus ran: $*"\\n' >/mnt/incus; chmod 755 /mnt/incus
cd /mnt/own
"""


def site(folder: Path, directory: str) -> Path:
    """Write a site file whose backups are in a directory."""
    backups = {"host": "sigsrv", "dir": directory, "pattern": "{name}-*"}
    path = folder / "site.yaml"
    path.write_text(yaml.safe_dump({"version": 1, "name": "t", "hosts": [{"name": "sigsrv"}], "backups": backups}))
    return path


def loaded(path: Path) -> Site:
    return site_file.load(path, frozenset())


def splits(words: Sequence[str]) -> Iterator[list[str]]:
    """Yield every way to split a command line at its blanks. sudo sees the same text in all of them."""
    parts = " ".join(words).split(" ")
    for joined in itertools.product((False, True), repeat=len(parts) - 1):
        found = [parts[0]]
        for part, with_last in zip(parts[1:], joined, strict=True):
            if with_last:
                found[-1] += f" {part}"
            else:
                found.append(part)
        yield found


def allowed(folder: Path, rules: str, commands: Sequence[Sequence[str]], links: Sequence[str] = ()) -> str:
    """Run commands under sudo as the account nobody; return all that they print."""
    (folder / "rules").write_text(rules)
    lines = [PREPARE.format(rules=shlex.quote(str(folder / "rules")))]
    lines += [f"ln -s /srv/private {shlex.quote(f'/mnt/own/{link}')}" for link in links if "/" not in link]
    inside = folder / "inside.sh"
    inside.write_text("".join(f"sudo -n {shlex.join(command)} </dev/null 2>&1\n" for command in commands))
    inside.chmod(0o644)
    script = "".join(
        (*lines[:1], *(f"{line}\n" for line in lines[1:]), f"runuser -u nobody -- sh <{shlex.quote(str(inside))}\n")
    )
    done = subprocess.run(["unshare", "-m", "sh", "-c", script], capture_output=True, check=False, timeout=300)
    return done.stdout.replace(b"\0", b"\n").decode() + done.stderr.decode()


needs_sudo = pytest.mark.skipif(
    not shutil.which("sudo") or not shutil.which("runuser"), reason="needs sudo and runuser"
)


@needs_root
@needs_sudo
def test_no_way_to_split_the_words_lists_another_folder(tmp_path):
    """sudo joins the words before it compares them, so ``-type`` ``f`` may become the end of one path and another path ``f``."""
    rules = privileges.sudoers(loaded(site(tmp_path, "/srv/backups")), "nobody")
    tries = list(splits(FIND))
    links = {word for words in tries for word in words}

    found = allowed(tmp_path, rules, [["/usr/bin/find", *words] for words in tries], sorted(links))

    assert len(tries) == 128
    assert "/srv/backups/one" in found
    assert "name-of-a-secret" not in found


@needs_root
@needs_sudo
def test_sudo_allows_the_exact_query_and_no_other(tmp_path):
    """A wildcard of sudo would match any character, also in a URL."""
    rules = privileges.sudoers(loaded(site(tmp_path, "/srv/backups")), "nobody", "/mnt/incus")
    members = "local:/1.0/cluster/members?recursion=1"
    others = [
        ["query", "--raw", "local:/1.0/cluster/membersXrecursion=1"],
        ["query", "--raw", "local:/1.0", "-X", "DELETE"],
        ["query", "--raw", "local:/1.0/instances"],
        ["query", "--raw", "/1.0/cluster/members?recursion=1"],
        ["query", "--raw", "other:/1.0/cluster/members?recursion=1"],
        ["query", "-X", "DELETE", "local:/1.0/instances/web"],
    ]

    found = allowed(
        tmp_path, rules, [["/mnt/incus", "query", "--raw", members], *(["/mnt/incus", *each] for each in others)]
    )

    assert found.count("incus ran: ") == 1
    assert f"incus ran: query --raw {members}\n" in found
    assert found.count("password is required") == len(others)


def test_folder_of_backups_with_a_blank_gets_no_rule(tmp_path, capsys):
    """Its parts would be paths too, so the account could list them."""
    assert main.main(["probes", "--sudoers", "audit", "--site", str(site(tmp_path, "/srv/my backups"))]) == 2

    message = capsys.readouterr().err
    assert 'backups.dir of the site file is "/srv/my backups": sudo can\'t match' in message
    assert "use a folder without blanks" in message
