# shellcheck shell=bash
# shows: HOST-002
# does: disables the units of Incus on the host: Incus runs, and would not start at the next boot
# labs: vm

UNITS="incus.socket incus.service incus-startup.service"

inject() { on "$1" sh -c "systemctl --quiet disable $UNITS"; }
heal() { on "$1" sh -c "systemctl --quiet preset $UNITS"; }
