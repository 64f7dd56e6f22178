# shellcheck shell=bash
# shows: HOST-010
# does: adds a newer version of an installed package to the host's security archive

inject() { fetched "$1" 1.1; }

heal() { fetched "$1" 1.0; }

fetched() { # HOST VERSION
  stanza sigsrv-lab-tool "$2" | on "$1" sh -c "cat >$LISTS/${SECURITY}_main_binary-amd64_Packages"
}
