# shellcheck shell=bash
# ns/driver: the driver of the lab in namespaces. A host is one pid 1 with its own namespaces; all else is reached through that pid.
# shellcheck disable=SC2034 # the files that source this one use these names

STATE_VARIABLE=SIGSRV_LAB_DIR
STATE_DEFAULT=/var/tmp/sigsrv-lab
STATE=$(realpath -m -- "${SIGSRV_LAB_DIR:-$STATE_DEFAULT}")
NAME=${STATE##*/}                # for its lock and cgroups
LOCK=/run/lock/$NAME.lock
PATIENCE=120                     # seconds that a command waits for another one
SLOWNESS=1                       # factor for all timeouts: 1 for real hardware
PID_FILE=pid1                   # in the folder of a host: a pid and its start time
MARK=made-by-sigsrv-lab           # a file in $STATE: the lab deletes only folders that have it
NEEDS_ROOT="it makes namespaces, links and loop devices"
OPTION=
CLIENTS=$(realpath -m -- "${SIGSRV_LAB_FILES:-$LAB}")   # folder for ssh_config, site.yaml and so on
SUBNET=10.213.7
UPLINK=siglab0                   # the bridge outside; a veth pair connects each host to it
declare -gA ADDRESS=([sigsrv]=$SUBNET.1 [minisrv]=$SUBNET.2 [twinsrv]=$SUBNET.3)
declare -gA LISTEN=([sigsrv]=$SUBNET.1:8443 [minisrv]=$SUBNET.2:8443 [twinsrv]=$SUBNET.3:8443)   # core.https_address
# The link to the other hosts. With two hosts it is eth0. Else each host has its own name for it, as with real hardware.
declare -gA TRUNK=([sigsrv]=enp5s0 [minisrv]=enp3s0 [twinsrv]=eno1)
POOL_OPTIONS=("nvme btrfs size=1GiB" "hdd dir" "iso dir")

# With two hosts a pair of veth links replaces each VLAN. It has two ends, so with one or three hosts VXLANs replace them.
has_pairs() { [ "$COUNT" = 2 ]; }
trunk_of() { if has_pairs; then echo eth0; else echo "${TRUNK[$1]}"; fi; }   # HOST
more_rules() { # HOST
  local chain="host input"
  ! is_nixos "$1" || chain="nixos-fw input-allow"
  has_pairs || echo "add rule inet $chain udp dport 4789 accept"
}

port_of() { # HOST BRIDGE: prints the VLAN interface of the bridge. twinsrv has other names, and not the VLAN of incusbr0
  local line bridge port vlan
  for line in "${BRIDGES[@]}"; do
    read -r bridge _ port vlan <<<"$line"
    [ "$bridge" = "$2" ] || continue
    case $1 in
      twinsrv) [ "$bridge" = incusbr0 ] || echo "vlan$vlan" ;;
      *) echo "$port" ;;
    esac
  done
}

can_run_instances() { :; }
release_of_hosts() { if [ "$INCUS" = 6.0 ]; then sed -n 's/^VERSION_CODENAME=//p' /etc/os-release; else echo trixie; fi; }

site_changes() { has_pairs || cat "$LAB/ns/site-$COUNT.sed"; }   # prints what the site file of one or three hosts has instead

server_config() { echo "{core.https_address: \"${LISTEN[$1]}\"}"; }   # HOST: the configuration of a member in the preseed
member_address() { echo "${ADDRESS[$1]}:8443"; }                      # HOST: its address for the other members

ssh_address() { echo "  HostName ${ADDRESS[$1]}"; }   # HOST: for ssh_config
known_as() { echo "$1,${ADDRESS[$1]}"; }              # HOST: for known_hosts
host_key() { cat "$STATE/$1/sshkeys/ssh_host_ed25519_key.pub"; }

describe_host() { # HOST: a line for `status`
  echo "$1: pid $(host_pid "$1"), ${ADDRESS[$1]}, sshd $(state_of sshd_runs "$1"), incusd $(state_of incusd_runs "$1")"
}

# on HOST CMD...: runs a command on a host, with the environment of a login instead of the caller's
on() {
  local pid
  pid=$(host_pid "$1") || { echo "$PROGRAM: error: $1 is not up" >&2; return 3; }
  shift
  nsenter -t "$pid" -a -- env -i HOME=/root USER=root LANG=C.UTF-8 TERM="${TERM:-dumb}" \
    PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin:/run/current-system/sw/bin "$@"   # the last one: NixOS
}

# spawn HOST CMD...: starts a daemon on a host, inside the host's cgroups and without our lock
spawn() {
  local host=$1 dir
  shift
  (
    let_go
    while read -r dir; do
      [ ! -d "$dir/init.scope" ] || dir=$dir/init.scope   # cgroup v2: only leaf cgroups may have processes
      echo "$BASHPID" >"$dir/cgroup.procs" || true
    done <"$STATE/$host/cgroups"
    # shellcheck disable=SC2016 # expanded on the host
    on "$host" setsid -f sh -c 'out=$1; shift; exec "$@" >>"$out" 2>&1 </dev/null' sh "/var/log/incus/${1##*/}.out" "$@"
  )
}

# shellcheck disable=SC2016 # expanded on the host
sshd_runs() { on "$1" sh -c 'kill -0 "$(cat /run/sshd.pid)"'; }

start_sshd() {
  sshd_runs "$1" 2>/dev/null || spawn "$1" "$(on "$1" sh -c "command -v sshd")" -E /var/log/incus/sshd.log   # it must be started by its path
  wait_for 10 "sshd of $1" sshd_runs "$1"
}

# shellcheck disable=SC2016 # expanded on the host
stop_sshd() { ! sshd_runs "$1" 2>/dev/null || on "$1" sh -c 'kill "$(cat /run/sshd.pid)"'; }

# sshd restarts itself with the same pid; open sessions continue.
reload_sshd() { # HOST
  # shellcheck disable=SC2016 # expanded on the host
  on "$1" sh -c 'kill -HUP "$(cat /run/sshd.pid)"'
  sleep 0.2
  wait_for 10 "sshd of $1" on "$1" sh -c 'ss -Hltn "sport = :22" | grep -q .'
}

# AppArmor is hidden from incusd (see pid1.sh), because its profiles would outlive the lab.
start_incusd() {
  incusd_runs "$1" || spawn "$1" "$INCUSD" --group incus-admin --logfile /var/log/incus/incusd.log
  wait_for 10 "the start of incusd of $1" incusd_runs "$1"
}

# Like a crash: incusd cannot notify the other member.
stop_incusd() {
  local pid
  ! pid=$(incusd_pid "$1") || on "$1" kill -KILL "$pid"
}
