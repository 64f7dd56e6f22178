# shellcheck shell=bash
# shows: INST-006
# does: takes the limit of processes out of the profile svc: the service containers of both hosts

inject() { set_keys "$1" "profile svc" limits.processes=; }
heal() { set_keys "$1" "profile svc" limits.processes=200; }
