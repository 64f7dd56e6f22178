"""privileges: what a scan runs on a host, exactly, and the sudoers file that lets an account run that and nothing else.

Room: below the entry points; may import the model and collect.
"""

from __future__ import annotations

import re
from collections.abc import Iterable

from sigsrv.collect import api
from sigsrv.collect.probes import TABLE
from sigsrv.collect.ways import query_command
from sigsrv.errors import UsageError
from sigsrv.site import Site

# sudoers(5): these must be escaped in a command's arguments; the wildcards among them would admit more than one URL.
_SPECIAL = re.compile(r"([\\,:=*?\[\]!#\"])")
_USER = re.compile(r"[a-z_][a-z0-9_.-]*\$?")


def urls(site: Site) -> list[str]:
    """Every URL that a scan of the site may ask a daemon for."""
    members = [host.member for host in site.hosts]
    pools = [pool.name for pool in site.pools]
    networks = [*(bridge.name for bridge in site.bridges), *site.networks_extra]
    return [
        api.SERVER,
        *api.WANTED,
        api.INSTANCES_CONFIG,
        *(api.pool_url(pool, member) for pool in pools for member in members),
        *(api.pool_resources_url(pool, member) for pool in pools for member in (None, *members)),
        *(api.network_url(network, member) for network in networks for member in members),
    ]


def table(site: Site) -> str:
    """The probes and requests of a scan, as a person reads them."""
    lines = ["Probes: run one after the other by one sh script, over the host's one ssh session. None needs root.", ""]
    for probe in TABLE:
        where = ", for sites with ZFS" if probe.needs_zfs else ""
        lines += [
            f"  {probe.id:<14} at most {probe.timeout_s} s and {probe.limit_bytes // 2**20} MiB; read by {probe.parsed_by}{where}"
        ]
        lines += [f"    {probe.shell}"]
    lines += [
        "",
        "Requests (GET) to each host's own Incus daemon: by its socket, forwarded over that session, for root and the group",
    ]
    lines += [f"incus-admin; by HTTPS where the site names it; else by `{' '.join(query_command('URL', True))}`:", ""]
    return "\n".join(lines + [f"  {url}" for url in urls(site)]) + "\n"


def sudoers(site: Site, user: str, incus: str = "/usr/bin/incus") -> str:
    """The sudoers file that a read-only account needs: exact commands with exact arguments, no wildcard.

    incus: the client's path on the hosts (NixOS: /run/current-system/sw/bin/incus). Raises UsageError for what is no name of an account.
    """
    if not _USER.fullmatch(user):
        raise UsageError(f'--sudoers: "{user}" is no name of an account')
    if not incus.startswith("/") or re.search(r"\s", incus):
        raise UsageError(f"--incus: {incus}: not an absolute path")
    alias = "SIGSRV_QUERIES"
    return "\n".join(
        [
            f"# What `sigsrv scan` asks of Incus on the hosts of site {_comment(site.name)}: it reads, and nothing else is allowed.",
            "# Made by `sigsrv probes --sudoers`: make it anew when the site's pools, bridges or hosts change.",
            "# Install: visudo -cf FILE && install -m 0440 FILE /etc/sudoers.d/sigsrv",
            f"Cmnd_Alias {alias} = \\",
            ", \\\n".join(f"  {_escaped(_command(url, incus))}" for url in urls(site)),
            f"Defaults!{alias} env_reset, !requiretty",
            f"{user} ALL=(root) NOPASSWD: {alias}",
            "",
        ]
    )


def _command(url: str, incus: str) -> list[str]:
    return [incus, *query_command(url, sudo=False)[1:]]


def _escaped(words: Iterable[str]) -> str:
    path, *arguments = words
    return " ".join([path, *(_SPECIAL.sub(r"\\\1", word) for word in arguments)])


def _comment(text: str) -> str:
    return " ".join(text.split())
