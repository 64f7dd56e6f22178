# shellcheck shell=bash
# shows: INST-011
# does: attaches the host's stopped container to a bridge by the name of the link, not as a managed network of Incus

has_device() { incus_at "$1" config device list "$(stopped_of "$1")" | grep -qx eth1; }

inject() { has_device "$1" || incus_at "$1" config device add "$(stopped_of "$1")" eth1 nic nictype=bridged parent=sigsrvbr0; }
heal() { ! has_device "$1" || incus_at "$1" config device remove "$(stopped_of "$1")" eth1; }
