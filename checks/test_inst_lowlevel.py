"""Checks of INST: settings that bypass Incus: raw and low-level keys, and system call interception.

They cover instances of all projects, stopped ones too, each with the configuration that its profiles give.
"""

_SYSCALL_DEFAULTS = ("security.syscalls.deny_default", "security.syscalls.blacklist_default")
