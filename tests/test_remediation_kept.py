"""Tests the old values: they are on the disk before a change that survives a reboot, and a value that could not be
written counts as none.
"""

from __future__ import annotations

import pytest

from tests.test_remediation import REMEDIATIONS, values_of
from tests.test_remediation_fuzz import plain, scripts, trace

# The last word of each call lists the old values at that time, without files that are not yet moved into place. Incus reports another
# value for each key, and the instance runs.
STATE = """\
record() {
  printf '%s\\0' "$@" >>"$TRACE"
  for file in "$SIGSRV_STATE"/*; do
    if [ -f "$file" ] && [ "${file##*/}" != new ]; then cksum "$file" >>"$TRACE"; fi
  done
  printf '\\0\\1\\0' >>"$TRACE"
}
incus() {
  record incus "$@"
  case "$1 $2" in
    list*) echo "$INSTANCE,RUNNING" ;;
    "cluster show") printf '  scheduler.instance: manual\\nurl: u\\n' ;;
    "project get") echo ;;
    *) echo other ;;
  esac
}
"""
CHANGES = frozenset(
    {
        "set",
        "unset",
        "add",
        "remove",
        "create",
        "delete",
        "start",
        "stop",
        "restart",
        "pause",
        "enable",
        "disable",
        "scrub",
    }
    | {"mv", "cp", "-X", "-d", "-a", "-HUP"}
)
# These scripts ask a real program first, and change nothing without its answer. The text is where each one starts to change something.
ASKS_FIRST = {
    "acknowledge-warnings": 'if [ -s "$SIGSRV_STATE/new-1" ]; then incus warning',
    "detach-ports": "detach veth1",
    "export-backup": "mkdir -m 700",
    "filter-bridge-ports": "then\n  modprobe",
    "filter-nics": "filter eth0",
    "limit-project": "incus project set",
    "refuse-ssh-passwords": 'cp "$SIGSRV_STATE/written"',
    "reload-acls": "incus network acl set",
    "restart-incus": "systemctl restart",
    "restart-timesyncd": "systemctl enable",
    "restrict-kernel-log": "turn_on kernel",
    "scrub-pool": "zpool scrub --",
    "set-pool-config": "incus storage set",
    "set-profile-config": "[ $# = 0 ] || incus profile set",
    "set-project-features": "incus project set",
    "set-volume-size": 'of_volume set "size',
    "start-incus": "systemctl enable",
}
# Old values that scripts write only if these programs answer otherwise.
OTHER_OLD_VALUES = {
    "attach-vlan": ("addresses", "was", "done"),
    "detach-ports": ("port-1", "port-2", "list", "entry-1"),
    "flush-vlan-address": ("addresses",),
    "raise-links": ("down-1", "down-2", "down-3"),
    "refuse-ssh-passwords": ("written", "before"),
    "restart-timesyncd": ("not-enabled", "not-running", "was"),
    "scrub-pool": ("was",),
    "start-incus": ("enabled", "was"),
}
# Old values that scripts write only if Incus answers otherwise.
IF_INCUS_SAYS = {
    "acknowledge-warnings": ("new-1",),
    "export-backup": ("file", "made"),
    "filter-bridge-ports": ("net.bridge.bridge-nf-call-iptables", "new-file"),
    "filter-nics": ("uuid",),
    "limit-project": ("old-1",),
    "restrict-kernel-log": ("kernel.dmesg_restrict", "new-file"),
    "set-pool-config": ("old-1",),
    "set-profile-config": ("saved", "old-1"),
    "set-volume-size": ("size", "created"),
    "update-image": ("off",),
}
OTHER_OLD_VALUES |= IF_INCUS_SAYS
SURVIVES = [name for name, each in REMEDIATIONS.items() if each.survives_reboot]


@pytest.mark.parametrize("name", sorted({*SURVIVES} - {*ASKS_FIRST}))
def test_old_values_are_synced_before_a_change_that_survives_a_reboot(name, tmp_path):
    """Otherwise a power cut may leave the change with missing or empty old values, and the undo would write those."""
    values, identity = plain(name, True)
    apply, _ = scripts(name, values, identity)
    more = f"INSTANCE={values['instance']}\n{STATE}"
    changes = 0
    for found in ("no", "yes"):
        synced = ""
        for program, *arguments, state in trace([apply], values, found, tmp_path, more):
            if program == "sync":
                synced = state
            elif program != "ip" and CHANGES & {program, *arguments}:
                changes += 1
                assert state == synced, f"{program} {arguments}: the old values are not on the disk"
    assert changes


@pytest.mark.parametrize("name", ASKS_FIRST)
def test_old_values_are_synced_by_scripts_that_ask_a_daemon_first(name):
    """Reads the script: the last old value comes before ``saved``, which syncs, and that before the change."""
    apply, _ = scripts(name, values_of(name), {"host": "h", "resource": "r"})
    before = apply[: apply.index(ASKS_FIRST[name])]

    assert 0 < before.rindex("$SIGSRV_STATE/") < before.rindex("\nsaved\n")


SILENT = """\
incus() { # no key has a value, but the uuid of an instance
  record incus "$@"
  case "$1 $*" in list*) echo "$INSTANCE,RUNNING" ;; *volatile.uuid) echo u ;; *) echo ;; esac
}
"""
DEAF = 'incus() { record incus "$@"; echo Error: no available cowsql leader >&2; return 1; }\n'
BY_INCUS = [name for name, each in REMEDIATIONS.items() if "incus " in (each.folder / "undo.sh.j2").read_text()]


@pytest.mark.parametrize("name", sorted(BY_INCUS))
def test_undo_fails_if_incus_does_not_answer(name, tmp_path):
    """If the undo reported "back to unset", sigsrv would remove the rollback and the change would stay permanently."""
    values, identity = plain(name, True)
    apply, undo = scripts(name, values, identity)
    more = f"INSTANCE={values['instance']}\n{STATE}"

    before = "" if name == "restore-member" else SILENT  # it does nothing if no key is set
    saved = "".join(f'echo yes >"$SIGSRV_STATE/{file}"\n' for file in IF_INCUS_SAYS.get(name, ()))
    undone = f"{saved}record undo\n{DEAF}{undo}\nrecord ended\n"
    called = [program for program, *_ in trace([f"{before}{apply}", undone], values, "yes", tmp_path, more)]

    calls = called[called.index("undo") + 1 :]
    assert "incus" in calls, "the undo does not call incus, so this test proves nothing"
    assert "ended" not in calls


@pytest.mark.parametrize("name", REMEDIATIONS)
def test_empty_old_value_is_not_restored(name, tmp_path):
    """A full disk leaves an empty file and stops the script. The undo must not write that empty value."""
    values, identity = plain(name, True)
    apply, undo = scripts(name, values, identity)
    more = f"INSTANCE={values['instance']}\n{STATE}"
    empty = 'for file in "$SIGSRV_STATE"/*; do if [ -f "$file" ]; then : >"$file"; fi; done\n'
    empty += "".join(f': >"$SIGSRV_STATE/{file}"\n' for file in OTHER_OLD_VALUES.get(name, ()))

    asked = "".join(f'echo yes >"$SIGSRV_STATE/{file}"\n' for file in IF_INCUS_SAYS.get(name, ()))
    calls = trace([f"{asked}{apply}", f"{empty}record undo\n{undo}"], values, "yes", tmp_path, more)

    (begin,) = [number for number, call in enumerate(calls) if call[0] == "undo"]
    assert calls[begin][-1], "the script saves nothing, so this test proves nothing"
    assert [call for call in calls[begin:] if CHANGES & {*call}] == []
