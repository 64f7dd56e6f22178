# shellcheck shell=bash
# common: names, paths and the few verbs that lab, fault and the rest of lib/ share.
# A host of the lab is one pid 1 with namespaces of its own; everything else is reached through that pid.
# shellcheck disable=SC2034 # most of these names are for the files that source this one

if [ "$(uname -s)" != Linux ]; then   # before anything that an old bash can't read
  printf '%s: error: the lab needs Linux: its hosts are made of namespaces\n' "${0##*/}" >&2
  printf '%s: hint: run it in a Debian 12 virtual machine\n' "${0##*/}" >&2
  exit 3
fi

LAB=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd -P)
STATE=$(realpath -m -- "${SIGSRV_LAB_DIR:-/var/tmp/sigsrv-lab}")
LOCK=/run/lock/sigsrv-lab.lock   # one for the machine: the names of links and cgroups are the machine's too
MARK=made-by-sigsrv-lab           # a file in $STATE: only what bears it is ever deleted
SUBNET=10.213.7
UPLINK=siglab0                   # bridge outside; each host hangs on it with a veth pair
INCUSD=/usr/libexec/incus/incusd
HOSTS=(sigsrv minisrv)
declare -A ADDRESS=([sigsrv]=$SUBNET.1 [minisrv]=$SUBNET.2)
# bridge, its address, the interface that stands in for its VLAN
BRIDGES=("sigsrvbr0 172.20.0.1/16 sigsrv0" "incusbr0 172.16.0.1/16 incus0" "userbr0 172.24.0.1/16 user0")
BACKUPS=/home/backups            # a folder on sigsrv; the site template names it too
PROGRAM=${PROGRAM:-lab}             # whose name stands before a message

# fail STATUS ERROR [HINT]
fail() {
  printf '%s: error: %s\n' "$PROGRAM" "$2" >&2
  [ -z "${3:-}" ] || printf '%s: hint: %s\n' "$PROGRAM" "$3" >&2
  exit "$1"
}

say() { printf '%s: %5.1f s  %s\n' "$PROGRAM" "$((10#${EPOCHREALTIME//[!0-9]/} / 100000 - STARTED))e-1" "$*"; }
STARTED=$((10#${EPOCHREALTIME//[!0-9]/} / 100000))

# A pid alone may be somebody else's after a reboot; with its start time it can't be.
start_time() { # PID
  local stat
  stat=$(cat "/proc/$1/stat" 2>/dev/null) || return 1
  stat=${stat##*) }
  # shellcheck disable=SC2086 # split into the fields after the name
  set -- $stat
  echo "${20}"
}

host_pid() { # HOST: its pid 1 as seen from outside; fails when there is none
  local pid started
  read -r pid started 2>/dev/null <"$STATE/$1/pid1" || return 1
  [ "$(start_time "$pid")" = "$started" ] || return 1
  echo "$pid"
}

is_host() {
  local host
  for host in "${HOSTS[@]}"; do [ "$host" != "$1" ] || return 0; done
  return 1
}

is_up() {
  local host
  [ -e "$STATE/complete" ] || return 1
  for host in "${HOSTS[@]}"; do host_pid "$host" >/dev/null || return 1; done
}

need_root() {
  [ "$(id -u)" = 0 ] || fail 3 "the lab needs root: it makes namespaces, links and loop devices" "sudo $0 ${*:-up}"
}

# Only one command changes the lab at a time. What outlives the command must not keep the lock, nor whatever else the
# caller had open: a lock of its own, say, would never be free again.
let_go() {
  local fd
  for fd in /proc/"$BASHPID"/fd/*; do
    fd=${fd##*/}
    [ "$fd" -le 2 ] || [ "$fd" = 255 ] || eval "exec $fd>&-"   # 255: bash's own, which reads this script
  done
}

take_lock() {
  mkdir -p "${LOCK%/*}"
  exec {LOCK_FD}>"$LOCK"
  flock -n "$LOCK_FD" && return
  echo "$PROGRAM: waiting for another lab or fault command to end" >&2
  flock -w 120 "$LOCK_FD" || fail 3 "another lab or fault command still runs after 120 s" "fuser -v $LOCK"
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

# wait_for SECONDS WHAT CMD...: until the command succeeds
wait_for() {
  local limit=$((SECONDS + $1)) what=$2
  shift 2
  until "$@" >/dev/null 2>&1; do
    [ "$SECONDS" -lt "$limit" ] || { echo "$PROGRAM: error: waited in vain: $what" >&2; return 1; }
    sleep 0.1
  done
}

# shellcheck disable=SC2016 # expanded on the host
sshd_runs() { on "$1" sh -c 'kill -0 "$(cat /run/sshd.pid)"'; }

# The daemon itself: its helpers (forkproxy, the monitors of the containers) bear the same name.
incusd_pid() {
  # shellcheck disable=SC2016 # expanded on the host
  on "$1" sh -c 'for pid in $(pidof incusd); do
    case "$(tr "\0" " " <"/proc/$pid/cmdline")" in */incusd\ --*) echo "$pid"; exit 0 ;; esac
  done; exit 1'
}
incusd_runs() { incusd_pid "$1" >/dev/null; }

start_sshd() {
  sshd_runs "$1" 2>/dev/null || spawn "$1" /usr/sbin/sshd -E /var/log/incus/sshd.log
  wait_for 10 "sshd of $1" sshd_runs "$1"
}

# Its AppArmor, were there any, is out of its sight (see pid1.sh): profiles would outlive the lab.
start_incusd() {
  incusd_runs "$1" || spawn "$1" "$INCUSD" --group incus-admin --logfile /var/log/incus/incusd.log
  wait_for 10 "the start of incusd of $1" incusd_runs "$1"
}

wait_ready() { on "$1" "$INCUSD" waitready --timeout 60; }

# What a fresh daemon warns of (AppArmor, hugetlb, virtual machines) is the kernel's, not the lab's: with it, the
# same lab would be told differently before and after a restart.
# One by one: `warning delete --all` of 6.0.4 asks for a name, prints its help and ends with 0.
forget_warnings() {
  local id
  on "$1" incus warning list -f csv -c u </dev/null | while read -r id; do
    on "$1" incus -q warning delete "$id" </dev/null
  done
}

sees_all_online() { # HOST
  [ "$(timeout 10 nsenter -t "$(host_pid "$1")" -a -- incus cluster list -f csv -c ns </dev/null | sort | tr '\n' ' ')" = "minisrv,ONLINE sigsrv,ONLINE " ]
}

# The host's own firewall: what the lab needs of it comes in, and nothing else.
filter_input() { # HOST
  on "$1" nft -f - <<'N'
table inet host
delete table inet host
table inet host {
  chain input {
    type filter hook input priority 10; policy drop;
    ct state established,related accept
    iifname "lo" accept
    meta l4proto { icmp, ipv6-icmp } accept
    tcp dport { 22, 8443 } accept
    iifname { "sigsrvbr0", "incusbr0", "userbr0" } udp dport { 53, 67 } accept
    iifname { "sigsrvbr0", "incusbr0", "userbr0" } tcp dport 53 accept
  }
}
N
}
