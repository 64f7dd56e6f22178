# shellcheck shell=bash
# shows: HOST-010
# does: puts a newer version of an installed package into the host's archive for security

inject() { fetched "$1" 1.1; }

heal() { fetched "$1" 1.0; }

fetched() { # HOST VERSION
  stanza sigsrv-lab-tool "$2" | on "$1" sh -c "cat >$LISTS/${SECURITY}_main_binary-amd64_Packages"
}
