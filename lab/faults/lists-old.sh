# shellcheck shell=bash
# shows: HOST-010
# does: makes the host's last fetched package list of its security archive 8 days old

inject() { fetched "$1" $(($(date +%s) - 8 * 86400)); }

heal() { fetched "$1" "$(date +%s)"; }

fetched() { # HOST SECONDS
  release Debian-Security stable-security "$(release_of_hosts)-security" "$2" | on "$1" sh -c "cat >$LISTS/${SECURITY}_InRelease"
}
