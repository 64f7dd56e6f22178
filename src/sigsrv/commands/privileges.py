"""What a scan runs on a host, exactly, and the sudoers file that lets an account run that and nothing else."""

from __future__ import annotations

import re
from collections.abc import Iterable

from sigsrv.collect import frames, frames_script, urls
from sigsrv.collect.probes import Probe, select
from sigsrv.collect.transports import query_command
from sigsrv.model.errors import UsageError
from sigsrv.model.site import Site
from sigsrv.scan.collecting import wants

# sudoers(5): these must be escaped in a command's arguments; the wildcards among them would admit more than one URL.
_SPECIAL = re.compile(r"([\\,:=*?\[\]!#\"])")
# Where the commands of probes that need root are on Debian; on NixOS all of them are beside the client of Incus.
_FOLDERS = {"nft": "/usr/sbin", "sshd": "/usr/sbin", "journalctl": "/usr/bin", "find": "/usr/bin", "df": "/usr/bin"}
_USER = re.compile(r"[a-z_][a-z0-9_.-]*\$?")


def requests_of(site: Site) -> list[str]:
    """Every URL that a scan of the site may ask a daemon for."""
    members = [host.member for host in site.hosts]
    pools = [pool.name for pool in site.pools]
    networks = [*(bridge.name for bridge in site.bridges), *site.networks_extra]
    return [
        urls.SERVER,
        *urls.WANTED,
        urls.INSTANCES_CONFIG,
        *(urls.pool_url(pool, member) for pool in pools for member in members),
        *(urls.volumes_url(pool) for pool in pools),
        *(urls.pool_resources_url(pool, member) for pool in pools for member in (None, *members)),
        *(urls.network_url(network, member) for network in networks for member in members),
    ]


def probes(site: Site) -> list[Probe]:
    """Every probe that a scan of the site runs on some host, each once."""
    return list(dict.fromkeys(probe for host in site.hosts for probe in select(wants(site, host.name))))


def table(site: Site) -> str:
    """The probes and requests of a scan, as a person reads them."""
    lines = [
        "Probes: run one after the other by one sh script, over the host's one ssh session. Those marked",
        "root are run under `sudo -n` for an account that is not root.",
        "",
    ]
    for probe in probes(site):
        marks = f"{', root' if probe.root else ''}{f', for sites with {probe.needs}' if probe.needs else ''}"
        limit = f"at most {probe.timeout_s} s and {probe.limit_bytes // 2**20} MiB"
        lines += [f"  {probe.id:<14} {limit}; read by {probe.parsed_by}{marks}", f"    {probe.shell}"]
    lines += [
        "",
        "Requests (GET) to each host's own Incus daemon: by its socket, forwarded over that session, for root and the group",
    ]
    lines += [f"incus-admin; by HTTPS where the site names it; else by `{' '.join(query_command('URL', True))}`:", ""]
    lines += [f"  {url}" for url in requests_of(site)]
    lines += [
        "",
        "With --probe, and only then, also three scripts, as root or under `sudo -n`, of which the sudoers file allows none: they make",
        "network namespaces with a port in each bridge, send ARP and pings between them, and take them away. They run",
        f"{', '.join(frames_script.TOOLS)}; `sigsrv probes --probe` prints them.",
    ]
    return "\n".join(lines) + "\n"


def scripts() -> str:
    """The scripts of ``--probe`` with a port and a frame for example, as a host gets them."""
    port = ("0", "BRIDGE", f"{frames_script.PREFIX}01234567", "fe:00:00:00:00:01", "02:00:00:00:00:01")
    path = ("0", "PID", "172.20.200.2", "1472", "198.18.0.2", "1468", "fe80::2")
    parts = {
        "make namespaces": frames_script.setup(
            "WORD", frames.life_s(frames.PHASE_S), [(*port, "198.18.0.1/15", "7", "172.20.200.1/16")]
        ),
        "send": frames_script.send("WORD", [path]),
        "take all away": frames_script.teardown("WORD", [port[2]]),
    }
    return "\n".join(f"# {what}\n{code}" for what, code in parts.items())


def sudoers(site: Site, user: str, incus: str = "/usr/bin/incus") -> str:
    """The sudoers file that a read-only account needs: exact commands with exact arguments, no wildcard.

    incus: the client's path on the hosts (NixOS: /run/current-system/sw/bin/incus). Raises UsageError for what is no name of an account.
    """
    if not _USER.fullmatch(user):
        raise UsageError(f'--sudoers: "{user}" is no name of an account')
    if not incus.startswith("/") or re.search(r"\s", incus):
        raise UsageError(f"--incus: {incus}: not an absolute path")
    folder = None if incus.startswith("/usr/") else incus.rpartition("/")[0]
    commands = [_command(url, incus) for url in requests_of(site)]
    for probe in probes(site):
        if probe.root:
            commands.append([f"{folder or _FOLDERS[probe.command[0]]}/{probe.command[0]}", *probe.command[1:]])
    alias = "SIGSRV_SCAN"
    return "\n".join(
        [
            f"# What `sigsrv scan` runs as root on the hosts of site {_comment(site.name)}: it reads, and nothing else is allowed.",
            "# Made by `sigsrv probes --sudoers`: make it anew when the site's pools, bridges, hosts or backups change.",
            "# Install: visudo -cf FILE && install -m 0440 FILE /etc/sudoers.d/sigsrv",
            f"Cmnd_Alias {alias} = \\",
            ", \\\n".join(f"  {_escaped(command)}" for command in commands),
            f"Defaults!{alias} env_reset, !requiretty",
            f"{user} ALL=(root) NOPASSWD: {alias}",
            "",
        ]
    )


def _command(url: str, incus: str) -> list[str]:
    return [incus, *query_command(url, sudo=False)[1:]]


def _escaped(words: Iterable[str]) -> str:
    path, *arguments = words
    # A backslash is one to sudoers(5) and one more to fnmatch(3), by which sudo compares the arguments.
    doubled = (word.replace("\\", "\\\\") for word in arguments)
    return " ".join([path, *(_SPECIAL.sub(r"\\\1", word) for word in doubled)])


def _comment(text: str) -> str:
    return " ".join(text.split())
