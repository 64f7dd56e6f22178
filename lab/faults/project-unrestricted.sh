# shellcheck shell=bash
# shows: PROJ-001
# does: unsets restricted on the project restricted; all its restricted.* keys then have no effect

inject() { set_keys "$1" "project restricted" restricted=; }
heal() { set_keys "$1" "project restricted" restricted=true; }
