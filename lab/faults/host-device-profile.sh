# shellcheck shell=bash
# shows: INST-005
# does: passes the host's /dev/zero to the service containers of both hosts, by their profile

has_device() { incus_at "$1" profile device list svc | grep -qx hostzero; }

inject() { has_device "$1" || incus_at "$1" profile device add svc hostzero unix-char source=/dev/zero path=/dev/hostzero; }
heal() { ! has_device "$1" || incus_at "$1" profile device remove svc hostzero; }
