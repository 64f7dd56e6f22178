# shellcheck shell=bash
# shows: INST-002
# does: allows nesting in the host's service container

inject() { set_keys "$1" "config $(service_of "$1")" security.nesting=1; }
heal() { set_keys "$1" "config $(service_of "$1")" security.nesting=; }
