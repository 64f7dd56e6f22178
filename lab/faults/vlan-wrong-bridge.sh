# shellcheck shell=bash
# shows: NET-001
# does: puts sigsrv0 of the host into userbr0: system and users share one segment

inject() { move_port "$1" sigsrv0 userbr0; }
heal() { move_port "$1" sigsrv0 sigsrvbr0; }
