# shellcheck shell=bash
# shows: INST-006
# does: removes the process limit from the profile svc, for the service containers of both hosts

inject() { set_keys "$1" "profile svc" limits.processes=; }
heal() { set_keys "$1" "profile svc" limits.processes=200; }
