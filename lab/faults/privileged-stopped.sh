# shellcheck shell=bash
# shows: INST-001
# does: makes the host's stopped container privileged

inject() { set_keys "$1" "config $(stopped_of "$1")" security.privileged=true; }
heal() { set_keys "$1" "config $(stopped_of "$1")" security.privileged=; }
