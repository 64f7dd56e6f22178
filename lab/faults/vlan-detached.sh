# shellcheck shell=bash
# shows: NET-001
# does: takes sigsrv0 out of sigsrvbr0 on the host

inject() { move_port "$1" sigsrv0; }
heal() { move_port "$1" sigsrv0 sigsrvbr0; }
