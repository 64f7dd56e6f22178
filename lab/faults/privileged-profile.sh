# shellcheck shell=bash
# shows: INST-001
# does: makes the profile svc privileged, for the service containers of both hosts; does not restart them

inject() { set_keys "$1" "profile svc" security.privileged=true; }
heal() { set_keys "$1" "profile svc" security.privileged=; }
