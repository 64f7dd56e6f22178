# shellcheck shell=bash
# shows: INST-001
# does: makes the host's service container privileged and restarts it, so it runs privileged

inject() {
  set_keys "$1" "config $(service_of "$1")" security.privileged=true
  restart_as "$1" "$(service_of "$1")" privileged
}

heal() {
  set_keys "$1" "config $(service_of "$1")" security.privileged=
  restart_as "$1" "$(service_of "$1")" unprivileged
}
