"""What scripts keep for undoing: it is on the disk before a change that survives a reboot, and what could not be written is none."""

from __future__ import annotations

import pytest

from tests.test_remediation import REMEDIATIONS, VALUES
from tests.test_remediation_fuzz import plain, scripts, trace

# The last word of each call: what of the old values is there, but for what is to be moved into its place. For Incus each key has
# another value, and the instance runs.
STATE = """\
record() {
  printf '%s\\0' "$@" >>"$TRACE"
  for file in "$SIGSRV_STATE"/*; do
    if [ -f "$file" ] && [ "${file##*/}" != new ]; then cksum "$file" >>"$TRACE"; fi
  done
  printf '\\0\\1\\0' >>"$TRACE"
}
incus() { record incus "$@"; if [ "$1" = list ]; then echo "$INSTANCE,RUNNING"; else echo other; fi; }
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
# These ask a real systemd or sshd before anything else: the words with which each begins to change something.
ASKS_FIRST = {
    "refuse-ssh-passwords": "# Made by sigsrv-remediate",
    "restart-timesyncd": "systemctl enable",
    "start-incus": "systemctl enable",
}
# What the others keep where these programs say nothing, or the opposite.
KEPT_ELSEWHERE = {
    "attach-vlan": ("addresses", "was", "done"),
    "flush-vlan-address": ("addresses",),
    "raise-links": ("down-1", "down-2", "down-3"),
    "refuse-ssh-passwords": ("written", "before"),
    "restart-timesyncd": ("not-enabled", "not-running"),
    "start-incus": ("enabled",),
}
SURVIVES = [name for name, each in REMEDIATIONS.items() if each.survives_reboot]


@pytest.mark.parametrize("name", sorted({*SURVIVES} - {*ASKS_FIRST}))
def test_old_values_are_on_the_disk_before_a_change_that_survives_a_reboot(name, tmp_path):
    """Else a power cut may leave the change without them, or with empty ones, and what undoes it would write those."""
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
def test_old_values_are_on_the_disk_also_where_a_real_daemon_is_asked_first(name):
    """By the script's text: the last that is kept comes before the disk is asked to have it, and that before the change."""
    apply, _ = scripts(name, VALUES, {"host": "h", "resource": "r"})
    before = apply[: apply.index(ASKS_FIRST[name])]

    assert 0 < before.rindex("$SIGSRV_STATE/") < before.rindex('sync "$SIGSRV_STATE"')


SILENT = 'incus() { record incus "$@"; [ "$1" != list ] || echo "$INSTANCE,RUNNING"; }\n'  # no key has a value
DEAF = 'incus() { record incus "$@"; echo Error: no available cowsql leader >&2; return 1; }\n'
BY_INCUS = [name for name, each in REMEDIATIONS.items() if "incus " in (each.folder / "undo.sh.j2").read_text()]


@pytest.mark.parametrize("name", sorted(BY_INCUS))
def test_undo_fails_where_incus_does_not_answer(name, tmp_path):
    """It said "back to unset" and ended well: what undoes it was taken away, and the change stayed for good."""
    values, identity = plain(name, True)
    apply, undo = scripts(name, values, identity)
    more = f"INSTANCE={values['instance']}\n{STATE}"

    before = "" if name == "restore-member" else SILENT  # for that one nothing is to be done where no key is set
    undone = f"record undo\n{DEAF}{undo}\nrecord ended\n"
    called = [program for program, *_ in trace([f"{before}{apply}", undone], values, "yes", tmp_path, more)]

    asked = called[called.index("undo") + 1 :]
    assert "incus" in asked, "it asks for nothing here, so this shows nothing"
    assert "ended" not in asked


@pytest.mark.parametrize("name", REMEDIATIONS)
def test_an_old_value_that_could_not_be_written_is_none(name, tmp_path):
    """A disk that is full when it is to be kept leaves an empty file, and ends the script: what undoes it must not write that."""
    values, identity = plain(name, True)
    apply, undo = scripts(name, values, identity)
    more = f"INSTANCE={values['instance']}\n{STATE}"
    empty = 'for file in "$SIGSRV_STATE"/*; do if [ -f "$file" ]; then : >"$file"; fi; done\n'
    empty += "".join(f': >"$SIGSRV_STATE/{file}"\n' for file in KEPT_ELSEWHERE.get(name, ()))

    calls = trace([apply, f"{empty}record undo\n{undo}"], values, "yes", tmp_path, more)

    (begin,) = [number for number, call in enumerate(calls) if call[0] == "undo"]
    assert calls[begin][-1], "it keeps nothing here, so this shows nothing"
    assert [call for call in calls[begin:] if CHANGES & {*call}] == []
