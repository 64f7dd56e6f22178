# shellcheck shell=bash
# shows: NET-001
# does: detaches sigsrv0 from sigsrvbr0 on the host

inject() { move_port "$1" sigsrv0; }
heal() { move_port "$1" sigsrv0 sigsrvbr0; }
