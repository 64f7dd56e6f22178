"""The configuration keys of instances that bypass the isolation between a guest and its host.

The lists contain the keys of all Incus versions: an instance cannot have a key that its server does not know. Source: Incus,
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
        "security.syscalls.whitelist",  # older name of security.syscalls.allow
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
"""By type of instance: keys that pass text directly to LXC or QEMU, or that choose the guest's ids and kernel modules."""

BPFFS = "security.bpffs."
"""The prefix of the keys for a container's own BPF file system."""

INTERCEPT = "security.syscalls.intercept."
INTERCEPTION = tuple(
    INTERCEPT + call for call in ("bpf", "bpf.devices", "mknod", "mount", "sched_setscheduler", "setxattr", "sysinfo")
)
"""Boolean keys: the system calls that the daemon, which is root, makes for a container."""

INTERCEPTION_LISTS = (f"{INTERCEPT}mount.allowed", f"{INTERCEPT}mount.fuse")
"""Text keys: the file systems that an intercepted mount may mount."""
