# shellcheck shell=bash
# shows: AUTH-005
# does: makes incusd of the host listen for debuggers

inject() { set_keys "$1" config core.debug_address=127.0.0.1:8444; }
heal() { set_keys "$1" config core.debug_address=; }
