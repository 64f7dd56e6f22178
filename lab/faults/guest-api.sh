# shellcheck shell=bash
# shows: INST-007
# does: gives the host's container of project restricted the guest API

inject() { set_keys "$1" "config --project restricted $(tenant_of "$1")" security.guestapi=true; }
heal() { set_keys "$1" "config --project restricted $(tenant_of "$1")" security.guestapi=; }
