# shellcheck shell=bash
# shows: INST-003
# does: adds a line of raw.lxc to the profile svc, for the service containers of both hosts; does not restart them

inject() { set_keys "$1" "profile svc" raw.lxc=lxc.apparmor.profile=unconfined; }
heal() { set_keys "$1" "profile svc" raw.lxc=; }
