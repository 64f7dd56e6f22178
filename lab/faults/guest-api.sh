# shellcheck shell=bash
# shows: INST-007
# does: turns on the guest API for the host's container in project restricted

inject() { set_keys "$1" "config --project restricted $(tenant_of "$1")" security.guestapi=true; }
heal() { set_keys "$1" "config --project restricted $(tenant_of "$1")" security.guestapi=; }
