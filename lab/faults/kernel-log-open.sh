# shellcheck shell=bash
# shows: HOST-008
# does: lets every account of the host read the kernel log
# labs: vm

inject() { on "$1" sysctl -qw kernel.dmesg_restrict=0; }
heal() { on "$1" sysctl -qw kernel.dmesg_restrict=1; }
