# shellcheck shell=bash
# shows: INST-013
# does: takes autostart and the protection from the critical container svc-a, wherever it is called

inject() { set_keys "$1" "config svc-a" boot.autostart= security.protection.delete=; }
heal() { set_keys "$1" "config svc-a" boot.autostart=true security.protection.delete=true; }
