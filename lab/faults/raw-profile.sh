# shellcheck shell=bash
# shows: INST-003
# does: gives the profile svc a line of raw.lxc: the service containers of both hosts, not restarted

inject() { set_keys "$1" "profile svc" raw.lxc=lxc.apparmor.profile=unconfined; }
heal() { set_keys "$1" "profile svc" raw.lxc=; }
