# shellcheck shell=bash
# shows: PROJ-004
# does: unsets the list of networks of the project user-bob, which then allows all networks

inject() { set_keys "$1" "project user-bob" restricted.networks.access=; }
heal() { set_keys "$1" "project user-bob" restricted.networks.access=userbr0; }
