# shellcheck shell=bash
# shows: NET-001
# does: attaches the VLAN interface of sigsrvbr0 to userbr0: system services and users share one segment

inject() { move_port "$1" "$(port_of "$1" sigsrvbr0)" userbr0; }
heal() { move_port "$1" "$(port_of "$1" sigsrvbr0)" sigsrvbr0; }
