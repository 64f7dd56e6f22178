# shellcheck shell=bash
# shows: INST-011
# does: gives the host's stopped container a NIC on the link of a bridge, past the network of Incus with its ACLs

has_device() { incus_at "$1" config device list "$(stopped_of "$1")" | grep -qx eth1; }

inject() { has_device "$1" || incus_at "$1" config device add "$(stopped_of "$1")" eth1 nic nictype=macvlan parent=sigsrvbr0; }
heal() { ! has_device "$1" || incus_at "$1" config device remove "$(stopped_of "$1")" eth1; }
