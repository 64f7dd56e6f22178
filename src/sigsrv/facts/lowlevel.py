"""The configuration keys of instances that reach below what keeps a guest apart from its host.

What a server does not know none of its instances has, so that the lists hold the keys of all versions. Source: Incus,
doc/config_options.txt ("raw", "security"); internal/server/project/permissions.go.
"""

from __future__ import annotations

from collections.abc import Mapping

RAW: Mapping[str, tuple[str, ...]] = {
    "container": (
        "linux.kernel_modules",
        "raw.apparmor",
        "raw.idmap",
        "raw.lxc",
        "raw.seccomp",
        "security.idmap.base",
        "security.idmap.size",
        "security.syscalls.allow",
        "security.syscalls.whitelist",  # its older name
    ),
    "virtual-machine": (
        "raw.apparmor",
        "raw.qemu",
        "raw.qemu.conf",
        "raw.qemu.qmp.early",
        "raw.qemu.qmp.post-start",
        "raw.qemu.qmp.pre-start",
        "raw.qemu.scriptlet",
    ),
}
"""By type of instance: what hands text past Incus to what runs the guest, or lets it choose its own ids and modules."""

BPFFS = "security.bpffs."
"""What the keys of a container's own BPF file system begin with."""

INTERCEPT = "security.syscalls.intercept."
INTERCEPTION = tuple(
    INTERCEPT + call for call in ("bpf", "bpf.devices", "mknod", "mount", "sched_setscheduler", "setxattr", "sysinfo")
)
"""Booleans: the system calls of a container that the daemon, who is root, makes in its stead."""

INTERCEPTION_LISTS = (f"{INTERCEPT}mount.allowed", f"{INTERCEPT}mount.fuse")
"""Texts: the file systems that an intercepted mount may mount."""
