"""Lists what a scan runs on a host, and makes a sudoers file that allows exactly that."""

from __future__ import annotations

import re
from collections.abc import Iterable

from sigsrv.collect import frames, frames_script, urls
from sigsrv.collect.probes import Probe, select
from sigsrv.collect.target import ROOT_SHELL
from sigsrv.collect.transports import query_command
from sigsrv.model.errors import UsageError
from sigsrv.model.site import Site
from sigsrv.scan.collecting import probe_options

# sudoers(5) requires escapes for these in arguments. An unescaped wildcard would allow more than one URL.
_SPECIAL = re.compile(r"([\\,:=*?\[\]!#\"])")
# Folders of the commands of root probes on Debian. On NixOS, they are all in the folder of the Incus client.
_FOLDERS = {
    "nft": "/usr/sbin",
    "sshd": "/usr/sbin",
    "journalctl": "/usr/bin",
    "find": "/usr/bin",
    "df": "/usr/bin",
    "grep": "/usr/bin",
}
DEBIAN_INCUS = "/usr/bin/incus"
DEFAULTS = "env_reset, !requiretty, runcwd=/"
_USER = re.compile(r"[a-z_][a-z0-9_.-]*\$?")


def requests_of(site: Site) -> list[str]:
    """Return every URL that a scan of the site may request from a daemon."""
    members = [host.member for host in site.hosts]
    pools = [pool.name for pool in site.pools]
    networks = [*(bridge.name for bridge in site.bridges), *site.networks_extra]
    return [
        urls.SERVER,
        *urls.WANTED,
        urls.INSTANCES_CONFIG,
        *(urls.pool_url(pool, member) for pool in pools for member in members),
        *(urls.volumes_url(pool, full) for pool in pools for full in (False, True)),
        *(urls.pool_resources_url(pool, member) for pool in pools for member in (None, *members)),
        *(urls.network_url(network, member) for network in networks for member in members),
        *urls.EXTENSION_OF,
        *(urls.network_list_url(network, name) for network in networks for name in urls.NETWORK_LISTS),
        *(urls.buckets_url(pool) for pool in pools),
    ]


def probes_of(site: Site) -> list[Probe]:
    """Return every probe that a scan of the site runs on any host, each once."""
    return list(dict.fromkeys(probe for host in site.hosts for probe in select(probe_options(site, host.name))))


def table(site: Site) -> str:
    """Return the probes and requests of a scan as text."""
    lines = [
        "Probes: one sh script runs them in this order, two at a time, over the host's",
        "single ssh session. It leaves a slow one in the background and goes on. An account",
        "other than root runs those marked root under `sudo -n`.",
        "",
    ]
    for probe in probes_of(site):
        marks = f"{', root' if probe.root else ''}{f', for sites with {probe.needs}' if probe.needs else ''}"
        limit = f"at most {probe.timeout_s} s and {probe.limit}"
        lines += [f"  {probe.id:<14} {limit}; parsed by {probe.parsed_by}{marks}", f"    {probe.shell}"]
    lines += [
        "",
        "Requests (GET) to the Incus daemon of each host. Root and members of incus-admin",
        "use its unix socket, forwarded over the ssh session. A host with an api in the",
        "site file uses HTTPS. All others use this command:",
        f"  {' '.join(query_command('URL', True))}",
        "",
    ]
    lines += [f"  {url}" for url in requests_of(site)]
    lines += [
        "",
        "Only with --probe, sigsrv also runs three scripts as root or under `sudo -n`.",
        "The sudoers file does not allow them. They create network namespaces with a port",
        "in each bridge, send ARP requests and pings between them, and remove them. They",
        f"run {', '.join(frames_script.TOOLS)}.",
        "To print the scripts: sigsrv probes --probe",
    ]
    return "\n".join(lines) + "\n"


def scripts() -> str:
    """Return the scripts of ``--probe`` as a host gets them, with one port and one path as an example."""
    port = ("0", "BRIDGE", f"{frames_script.PREFIX}01234567", "fe:00:00:00:00:01", "02:00:00:00:00:01")
    path = ("0", "PID", "172.20.200.2", "1472", "198.18.0.2", "1468", "fe80::2")
    parts = {
        "make namespaces": frames_script.setup(
            "WORD", frames.life_s(frames.PHASE_S), [(*port, "198.18.0.1/15", "7", "172.20.200.1/16")]
        ),
        "send": frames_script.send("WORD", [path]),
        "remove everything": frames_script.teardown("WORD", [port[2]]),
    }
    return "\n".join(f"# {what}\n{code}" for what, code in parts.items())


def root_commands(site: Site, user: str, incus: str) -> list[str]:
    """Return the commands that a scan runs as root, as sudoers(5) writes them: exact commands with exact arguments, no wildcards.

    sudo joins the arguments of a command with blanks before it compares them (sudoers(5)). So an account may split them elsewhere,
    and ``-type`` ``f`` may become a part of the path before it and a path ``f``. The rules make the commands run in /, where only root
    creates files.

    incus: path of the client on the hosts. Raises UsageError for an invalid account name, a relative path, or a folder of backups with
    a blank in its path: its parts would be paths too.
    """
    if not _USER.fullmatch(user):
        raise UsageError(f'--sudoers: "{user}" is not a valid account name')
    if not incus.startswith("/") or re.search(r"\s", incus):
        raise UsageError(f"--incus: {incus}: not an absolute path without spaces")
    if site.backups and re.search(r"\s", site.backups.dir):
        raise UsageError(
            f'--sudoers: backups.dir of the site file is "{site.backups.dir}": sudo can\'t match a path with a blank exactly',
            "use a folder without blanks, or log in as root to the host of the backups",
        )
    folder = None if incus.startswith("/usr/") else incus.rpartition("/")[0]
    commands = [_command(url, incus) for url in requests_of(site)]
    for probe in probes_of(site):
        if probe.root:
            commands.append([f"{folder or _FOLDERS[probe.command[0]]}/{probe.command[0]}", *probe.command[1:]])
    return [escaped(command) for command in commands]


def sudoers(site: Site, user: str, incus: str = DEBIAN_INCUS) -> str:
    """Return the sudoers file for a read-only account, see ``root_commands``."""
    alias = "SIGSRV_SCAN"
    return "\n".join(
        [
            f"# Allows what `sigsrv scan` runs as root on the hosts of site {one_line(site.name)}. All commands only read.",
            "# Generated by `sigsrv probes --sudoers`. Generate it again when pools, bridges, hosts or backups of the site change.",
            "# Install: visudo -cf FILE && install -m 0440 FILE /etc/sudoers.d/sigsrv",
            "# NixOS has no /etc/sudoers.d: use `sigsrv probes --sudoers ACCOUNT --nix`.",
            f"Cmnd_Alias {alias} = \\",
            ", \\\n".join(f"  {command}" for command in root_commands(site, user, incus)),
            f"Defaults!{alias} {DEFAULTS}",
            f"{user} ALL=(root) NOPASSWD: {alias}",
            "",
        ]
    )


def remediation_sudoers(user: str) -> str:
    """Return the rule that ``sigsrv-remediate --sudo`` needs besides that of a scan, and what it means."""
    alias = "SIGSRV_REMEDIATE"
    command = escaped(ROOT_SHELL)
    return f"""\
# Allows what sigsrv runs with --sudo, or `sudo: true` in the site file, as sigsrv-remediate needs it: one shell as root,
# which reads its script from standard input.
# This makes {user} root in effect: a person who may log in as {user} can send any script. A wrapper around the shell would not
# change that, because a fix is a script that comes from the machine of the operator, and the wrapper would have to run it.
# The rule still has limits: no other command, no other arguments, no other account than root. sudo logs each call, and
# sigsrv-remediate writes to the syslog of the host who applied which fix, with the hash of its script.
# If this is too much, leave these lines out: {user} can scan, and people who are root on the host anyway remediate with
# their own login.
Cmnd_Alias {alias} = {command}
Defaults!{alias} env_reset, !requiretty
{user} ALL=(root) NOPASSWD: {alias}
"""


def _command(url: str, incus: str) -> list[str]:
    return [incus, *query_command(url, sudo=False)[1:]]


def escaped(words: Iterable[str]) -> str:
    """Return a command as sudoers(5) writes it."""
    path, *arguments = words
    # Escape a backslash twice: for sudoers(5), and for fnmatch(3), which sudo uses to compare arguments.
    doubled = (word.replace("\\", "\\\\") for word in arguments)
    return " ".join([path, *(_SPECIAL.sub(r"\\\1", word) for word in doubled)])


def one_line(text: str) -> str:
    """Return a text for a comment, without its line ends."""
    return " ".join(text.split())
