# shellcheck shell=bash
# shows: INST-013
# does: removes autostart and delete protection from the critical container svc-a; either host name does the same

inject() { set_keys "$1" "config svc-a" boot.autostart= security.protection.delete=; }
heal() { set_keys "$1" "config svc-a" boot.autostart=true security.protection.delete=true; }
