# shellcheck shell=bash
# shows: INST-001
# does: runs the host's service container privileged, although its configuration no longer says so

inject() {
  local instance
  instance=$(service_of "$1")
  if ! runs_privileged "$1" "$instance"; then
    set_keys "$1" "config $instance" security.privileged=true
    restart_as "$1" "$instance" privileged
  fi
  set_keys "$1" "config $instance" security.privileged=
}

heal() {
  set_keys "$1" "config $(service_of "$1")" security.privileged=
  restart_as "$1" "$(service_of "$1")" unprivileged
}
