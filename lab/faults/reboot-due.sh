# shellcheck shell=bash
# shows: HOST-010
# does: installs, by name only, a newer kernel of the host's kind

inject() { on "$1" touch "/boot/$(newer "$1")"; }

heal() { on "$1" rm -f "/boot/$(newer "$1")"; }

newer() { on "$1" uname -r </dev/null | sed 's/^[0-9]*/vmlinuz-999/'; } # HOST
