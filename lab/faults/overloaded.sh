# shellcheck shell=bash
# shows: HOST-005
# does: lays another file over the host's /proc/loadavg: thousands of processes that wait

# The load itself is the machine's, of both hosts and of whatever else runs on it.
inject() {
  # shellcheck disable=SC2016 # expanded on the host
  on "$1" sh -c 'grep -q " /proc/loadavg " /proc/mounts || {
    load=$(($(nproc --all) * 1000)).00
    echo "$load $load $load 1/100 1" >/run/loadavg
    mount --bind /run/loadavg /proc/loadavg; }'
}

heal() { on "$1" sh -c '! grep -q " /proc/loadavg " /proc/mounts || umount /proc/loadavg; rm -f /run/loadavg'; }
