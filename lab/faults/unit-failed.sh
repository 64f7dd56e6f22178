# shellcheck shell=bash
# shows: HOST-003
# does: starts a unit on the host that fails
# labs: vm

inject() { ! on "$1" systemd-run --quiet --wait --unit=lab-failing false; }
heal() { ! on "$1" systemctl --quiet is-failed lab-failing.service || on "$1" systemctl reset-failed lab-failing.service; }
