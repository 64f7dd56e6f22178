# shellcheck shell=bash
# ns/driver: a host is one pid 1 with namespaces of its own; everything else is reached through that pid.
# shellcheck disable=SC2034 # most of these names are for the files that source this one

STATE_VARIABLE=SIGSRV_LAB_DIR
STATE_DEFAULT=/var/tmp/sigsrv-lab
STATE=$(realpath -m -- "${SIGSRV_LAB_DIR:-$STATE_DEFAULT}")
NAME=${STATE##*/}                # of its lock and cgroups
LOCK=/run/lock/$NAME.lock
PATIENCE=120                     # seconds until a command gives up waiting for another one
SLOWNESS=1                       # how much slower than a machine of its own: all time limits are that much longer
PID_FILE=pid1                   # in the folder of a host: a pid, and when it started
MARK=made-by-sigsrv-lab           # a file in $STATE: only what bears it is ever deleted
NEEDS_ROOT="it makes namespaces, links and loop devices"
OPTION=
CLIENTS=$(realpath -m -- "${SIGSRV_LAB_FILES:-$LAB}")   # where ssh_config, site.yaml and so on are written
CODENAME=$(sed -n 's/^VERSION_CODENAME=//p' /etc/os-release)   # the hosts' release is the machine's
SUBNET=10.213.7
UPLINK=siglab0                   # bridge outside; each host hangs on it with a veth pair
declare -gA ADDRESS=([sigsrv]=$SUBNET.1 [minisrv]=$SUBNET.2)
declare -gA LISTEN=([sigsrv]=$SUBNET.1:8443 [minisrv]=$SUBNET.2:8443)   # core.https_address
POOL_OPTIONS=("nvme btrfs size=1GiB" "hdd dir" "iso dir")

server_config() { echo "{core.https_address: \"${LISTEN[$1]}\"}"; }   # HOST: what the preseed sets on a member
member_address() { echo "${ADDRESS[$1]}:8443"; }                      # HOST: where the other members find it

ssh_address() { echo "  HostName ${ADDRESS[$1]}"; }   # HOST: for ssh_config
known_as() { echo "$1,${ADDRESS[$1]}"; }              # HOST: for known_hosts
host_key() { cat "$STATE/$1/sshkeys/ssh_host_ed25519_key.pub"; }

describe_host() { # HOST: a line for `status`
  echo "$1: pid $(host_pid "$1"), ${ADDRESS[$1]}, sshd $(state_of sshd_runs "$1"), incusd $(state_of incusd_runs "$1")"
}

# on HOST CMD...: run a command on a host, with the environment of a login rather than the caller's
on() {
  local pid
  pid=$(host_pid "$1") || { echo "$PROGRAM: error: $1 is not up" >&2; return 3; }
  shift
  nsenter -t "$pid" -a -- env -i HOME=/root USER=root LANG=C.UTF-8 TERM="${TERM:-dumb}" \
    PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin "$@"
}

# spawn HOST CMD...: start a daemon on a host, inside the host's cgroups and without our lock
spawn() {
  local host=$1 dir
  shift
  (
    let_go
    while read -r dir; do
      [ ! -d "$dir/init.scope" ] || dir=$dir/init.scope   # cgroup v2: only leaves hold processes
      echo "$BASHPID" >"$dir/cgroup.procs" || true
    done <"$STATE/$host/cgroups"
    # shellcheck disable=SC2016 # expanded on the host
    on "$host" setsid -f sh -c 'out=$1; shift; exec "$@" >>"$out" 2>&1 </dev/null' sh "/var/log/incus/${1##*/}.out" "$@"
  )
}

# shellcheck disable=SC2016 # expanded on the host
sshd_runs() { on "$1" sh -c 'kill -0 "$(cat /run/sshd.pid)"'; }

start_sshd() {
  sshd_runs "$1" 2>/dev/null || spawn "$1" /usr/sbin/sshd -E /var/log/incus/sshd.log
  wait_for 10 "sshd of $1" sshd_runs "$1"
}

# shellcheck disable=SC2016 # expanded on the host
stop_sshd() { ! sshd_runs "$1" 2>/dev/null || on "$1" sh -c 'kill "$(cat /run/sshd.pid)"'; }

# sshd starts itself anew under its pid; the sessions go on.
reload_sshd() { # HOST
  # shellcheck disable=SC2016 # expanded on the host
  on "$1" sh -c 'kill -HUP "$(cat /run/sshd.pid)"'
  sleep 0.2
  wait_for 10 "sshd of $1" on "$1" sh -c 'ss -Hltn "sport = :22" | grep -q .'
}

# Its AppArmor, were there any, is out of its sight (see pid1.sh): profiles would outlive the lab.
start_incusd() {
  incusd_runs "$1" || spawn "$1" "$INCUSD" --group incus-admin --logfile /var/log/incus/incusd.log
  wait_for 10 "the start of incusd of $1" incusd_runs "$1"
}

# A crash: nothing is told to anybody.
stop_incusd() {
  local pid
  ! pid=$(incusd_pid "$1") || on "$1" kill -KILL "$pid"
}
