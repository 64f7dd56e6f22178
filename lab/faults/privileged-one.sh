# shellcheck shell=bash
# shows: INST-001
# does: sets security.privileged=1 (the same as "true") on the host's service container; does not restart it

inject() { set_keys "$1" "config $(service_of "$1")" security.privileged=1; }
heal() { set_keys "$1" "config $(service_of "$1")" security.privileged=; }
