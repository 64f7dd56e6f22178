# shellcheck shell=bash
# shows: INST-001
# does: sets security.privileged=1 (the same as "true") on the host's service container; does not restart it

inject() { set_keys "$1" "config $(service_of "$1")" security.privileged=1; }
# A fix of several findings, or its undo, may have restarted the container with the key.
heal() {
  set_keys "$1" "config $(service_of "$1")" security.privileged=
  restart_as "$1" "$(service_of "$1")" unprivileged
}
