# shellcheck shell=bash
# shows: INST-005
# does: passes the host's /dev/zero to its service container, as /dev/hostzero

has_device() { incus_at "$1" config device list "$(service_of "$1")" | grep -qx hostzero; }

inject() { has_device "$1" || incus_at "$1" config device add "$(service_of "$1")" hostzero unix-char source=/dev/zero path=/dev/hostzero; }
heal() { ! has_device "$1" || incus_at "$1" config device remove "$(service_of "$1")" hostzero; }
