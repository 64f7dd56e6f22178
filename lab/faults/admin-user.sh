# shellcheck shell=bash
# shows: AUTH-004
# does: adds the account games to the group incus-admin on the host

inject() { on "$1" gpasswd -a games incus-admin >/dev/null; }
heal() { ! is_admin "$1" || on "$1" gpasswd -d games incus-admin >/dev/null; }

is_admin() { on "$1" getent group incus-admin | cut -d: -f4 | tr , '\n' | grep -qx games; }
