# shellcheck shell=bash
# shows: INST-001
# does: makes the profile svc privileged, for the service containers of both hosts; does not restart them

inject() { set_keys "$1" "profile svc" security.privileged=true; }
# The undo of a fix may have restarted a container with the key.
heal() {
  local host
  set_keys "$1" "profile svc" security.privileged=
  for host in "${HOSTS[@]}"; do restart_as "$host" "$(service_of "$host")" unprivileged; done
}
