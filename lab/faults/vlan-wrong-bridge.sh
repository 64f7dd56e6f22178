# shellcheck shell=bash
# shows: NET-001
# does: attaches sigsrv0 of the host to userbr0: system services and users share one segment

inject() { move_port "$1" sigsrv0 userbr0; }
heal() { move_port "$1" sigsrv0 sigsrvbr0; }
