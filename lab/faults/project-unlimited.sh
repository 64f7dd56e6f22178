# shellcheck shell=bash
# shows: PROJ-005
# does: unsets the memory limit of the project user-bob

inject() { set_keys "$1" "project user-bob" limits.memory=; }
heal() { set_keys "$1" "project user-bob" limits.memory=1GiB; }
