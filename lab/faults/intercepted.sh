# shellcheck shell=bash
# shows: INST-008
# does: lets the host's service container have device nodes made by the daemon

inject() { set_keys "$1" "config $(service_of "$1")" security.syscalls.intercept.mknod=true; }
heal() { set_keys "$1" "config $(service_of "$1")" security.syscalls.intercept.mknod=; }
