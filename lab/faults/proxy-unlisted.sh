# shellcheck shell=bash
# shows: INST-009
# does: opens a port on all addresses of the host for its service container

has_device() { incus_at "$1" config device list "$(service_of "$1")" | grep -qx door; }

inject() { has_device "$1" || incus_at "$1" config device add "$(service_of "$1")" door proxy listen=tcp::8081 connect=tcp:127.0.0.1:80; }
heal() { ! has_device "$1" || incus_at "$1" config device remove "$(service_of "$1")" door; }
