# shellcheck shell=bash
# vm/driver: the driver of the lab in virtual machines. A host is a machine with systemd, 802.1Q, ZFS and its own kernel. Commands reach
# it through QEMU's guest agent, without ssh and network: they work even if a fault breaks these.
# shellcheck disable=SC2034 # the files that source this one use these names

STATE_VARIABLE=SIGSRV_VM_LAB_DIR
STATE_DEFAULT=/var/tmp/sigsrv-vm-lab
STATE=$(realpath -m -- "${SIGSRV_VM_LAB_DIR:-$STATE_DEFAULT}")
LOCK=/run/lock/sigsrv-vm-lab.lock   # one for the whole machine, like the ports
PATIENCE=600
SLOWNESS=4                          # factor for all timeouts: two emulated machines share this one
PID_FILE=started                   # in the folder of a host: a pid and its start time
MARK=made-by-sigsrv-lab
NEEDS_ROOT="it makes the image of a whole system"
OPTION=--lab=vm
CLIENTS=$LAB/vm
CODENAME=trixie                     # the release that the machines run
declare -gA ADDRESS=([sigsrv]=10.77.0.1 [minisrv]=10.77.0.2)   # on the trunk, untagged: the cluster's own traffic
declare -gA SSH_PORT=([sigsrv]=21401 [minisrv]=21402)          # of 127.0.0.1, forwarded to the guest
declare -gA API_PORT=([sigsrv]=21441 [minisrv]=21442)
GUEST=10.0.2.15                                               # the guest's address for incoming ssh and API connections
declare -gA LISTEN=([sigsrv]=$GUEST:8443 [minisrv]=$GUEST:8443)
POOL_OPTIONS=("nvme zfs source=/dev/disk/by-id/virtio-nvme zfs.pool_name=nvme" "hdd zfs source=hdd zfs.pool_name=hdd"
  "iso zfs source=/dev/disk/by-id/virtio-iso zfs.pool_name=iso")

more_rules() { :; }
site_changes() { :; }
release_of_hosts() { echo "$CODENAME"; }
can_run_instances() { :; }
port_of() { # HOST BRIDGE: prints the VLAN interface of the bridge
  local line bridge port
  for line in "${BRIDGES[@]}"; do
    read -r bridge _ port _ <<<"$line"
    [ "$bridge" != "$2" ] || echo "$port"
  done
}

server_config() { echo "{core.https_address: \"${LISTEN[$1]}\", cluster.https_address: \"${ADDRESS[$1]}:8443\"}"; }
member_address() { echo "${ADDRESS[$1]}:8443"; }

ssh_address() { printf '  HostName 127.0.0.1\n  Port %s\n' "${SSH_PORT[$1]}"; }   # HOST: for ssh_config
known_as() { echo "[127.0.0.1]:${SSH_PORT[$1]}"; }                              # HOST: for known_hosts
host_key() { on "$1" cat /etc/ssh/ssh_host_ed25519_key.pub </dev/null; }

describe_host() { # HOST: a line for `status`
  echo "$1: pid $(host_pid "$1"), ssh at 127.0.0.1:${SSH_PORT[$1]}, API at 127.0.0.1:${API_PORT[$1]}, $(machine_state "$1")"
}

qmp() { "$LAB/vm/qemu" qmp "$STATE/$1/qmp" "${@:2}"; }   # HOST COMMAND [JSON]
machine_state() { qmp "$1" query-status | jq -r .status; }

on() {
  host_pid "$1" >/dev/null || { echo "$PROGRAM: error: $1 is not up" >&2; return 3; }
  "$LAB/vm/qemu" exec "$STATE/$1/agent" "${@:2}"
}

# shellcheck disable=SC2016 # expanded on the host
spawn() { on "$1" systemd-run --quiet --collect "${@:2}"; }

sshd_runs() { on "$1" systemctl --quiet is-active ssh.service </dev/null; }
start_sshd() { on "$1" systemctl start ssh.service </dev/null; }
stop_sshd() { on "$1" systemctl stop ssh.service </dev/null; }
reload_sshd() { on "$1" systemctl reload ssh.service </dev/null; }
start_incusd() { on "$1" systemctl start incus.socket incus.service </dev/null; }

# Kills incusd, like a crash. systemd restarts it, and its socket with it, so stop both at once. Do not stop the units that depend on
# them: if incus-startup.service stops with the socket, it shuts all containers down.
stop_incusd() {
  on "$1" sh -c '! systemctl --quiet is-active incus.service || systemctl kill --signal=KILL incus.service
    for _ in 1 2 3 4 5; do
      if systemctl --quiet stop --job-mode=ignore-dependencies incus.socket incus.service; then
        systemctl --quiet is-active incus.socket incus.service || exit 0
      fi
    done
    exit 1' </dev/null
}

# Sets the clocks of the guests from this machine. After a jump chrony waits for half a minute; a restarted chrony looks at once.
set_clocks() {
  local host
  "$LAB/vm/qemu" clock "$STATE/sigsrv/agent" "$STATE/minisrv/agent"
  for host in "${HOSTS[@]}"; do on "$host" systemctl try-restart chrony.service </dev/null; done
}

clock_is_kept() { on "$1" timedatectl show -p NTPSynchronized --value </dev/null | grep -qx yes; }   # HOST
