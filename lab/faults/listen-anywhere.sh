# shellcheck shell=bash
# shows: AUTH-001
# does: lets the API of the host listen on any address

inject() { set_keys "$1" config core.https_address=:8443; }
heal() { set_keys "$1" config "core.https_address=${LISTEN[$1]}"; }
