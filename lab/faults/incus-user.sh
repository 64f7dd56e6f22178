# shellcheck shell=bash
# shows: AUTH-007
# does: adds the account games to the group incus on the host

inject() { on "$1" gpasswd -a games incus >/dev/null; }
heal() { ! is_user "$1" || on "$1" gpasswd -d games incus >/dev/null; }

is_user() { on "$1" getent group incus | cut -d: -f4 | tr , '\n' | grep -qx games; }
