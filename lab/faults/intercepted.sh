# shellcheck shell=bash
# shows: INST-008
# does: lets the host's service container ask the daemon to make device nodes (mknod interception)

inject() { set_keys "$1" "config $(service_of "$1")" security.syscalls.intercept.mknod=true; }
heal() { set_keys "$1" "config $(service_of "$1")" security.syscalls.intercept.mknod=; }
