# shellcheck shell=bash
# shows: HOST-005
# does: mounts another file over the host's /proc/loadavg: it reports thousands of waiting processes

# The real load belongs to the machine: both hosts share it with everything else that runs there.
inject() {
  # shellcheck disable=SC2016 # expanded on the host
  on "$1" sh -c 'grep -q " /proc/loadavg " /proc/mounts || {
    load=$(($(nproc --all) * 1000)).00
    echo "$load $load $load 1/100 1" >/run/loadavg
    mount --bind /run/loadavg /proc/loadavg; }'
}

heal() { on "$1" sh -c '! grep -q " /proc/loadavg " /proc/mounts || umount /proc/loadavg; rm -f /run/loadavg'; }
