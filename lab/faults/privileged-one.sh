# shellcheck shell=bash
# shows: INST-001
# does: sets security.privileged=1 (not "true", which means the same) on the host's service container, not restarted

inject() { set_keys "$1" "config $(service_of "$1")" security.privileged=1; }
heal() { set_keys "$1" "config $(service_of "$1")" security.privileged=; }
