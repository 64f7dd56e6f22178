# shellcheck shell=bash
# shellcheck source-path=SCRIPTDIR
# common: the names, paths and functions that lab, fault and the rest of lib/ share, for both labs.
# The lab in namespaces is in ns/, the lab in virtual machines in vm/. Each has a driver.sh with the same functions: on, spawn,
# start_sshd, start_incusd and so on. `choose_lab` sources one of them.
# shellcheck disable=SC2034 # the files that source this one use these names

if [ "$(uname -s)" != Linux ]; then   # first, because an old bash cannot parse the rest
  printf '%s: error: the lab needs Linux: its hosts run in namespaces\n' "${0##*/}" >&2
  printf '%s: hint: run it in a Debian 12 virtual machine\n' "${0##*/}" >&2
  exit 3
fi

LAB=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd -P)
INCUSD=/usr/libexec/incus/incusd
ALL_HOSTS=(sigsrv minisrv twinsrv)   # a lab has the first one, two or three
# bridge, its address, its VLAN interface, its VLAN
BRIDGES=("sigsrvbr0 172.20.0.1/16 sigsrv0 20" "incusbr0 172.16.0.1/16 incus0 16" "userbr0 172.24.0.1/16 user0 24")
BACKUPS=/home/backups            # a folder on sigsrv; the site templates name it too
PROGRAM=${PROGRAM:-lab}             # the program's name in messages

# fail STATUS ERROR [HINT]
fail() {
  printf '%s: error: %s\n' "$PROGRAM" "$2" >&2
  [ -z "${3:-}" ] || printf '%s: hint: %s\n' "$PROGRAM" "$3" >&2
  exit "$1"
}

say() { printf '%s: %5.1f s  %s\n' "$PROGRAM" "$((10#${EPOCHREALTIME//[!0-9]/} / 100000 - STARTED))e-1" "$*"; }
STARTED=$((10#${EPOCHREALTIME//[!0-9]/} / 100000))

# choose_lab [ns|vm]: sources the driver. Default: the lab that is up. If both are up, --lab=NAME is needed.
choose_lab() {
  case $1 in
    ns | vm) KIND=$1 ;;
    "") KIND=$(only_lab_that_is_up) || exit ;;
    *) fail 2 "unknown lab: $1" "--lab=ns (namespaces) or --lab=vm (virtual machines)" ;;
  esac
  # shellcheck source=../ns/driver.sh
  . "$LAB/$KIND/driver.sh"
  # shellcheck source=../nixos/host.sh
  . "$LAB/nixos/host.sh"
  read_variant
}

only_lab_that_is_up() {
  local kind up=()
  for kind in ns vm; do
    # shellcheck source=/dev/null # in a subshell, so its variables do not stay
    if (. "$LAB/$kind/driver.sh"; read_variant; is_up); then up+=("$kind"); fi
  done
  case ${#up[@]} in
    0) echo ns ;;   # a command that needs the lab reports that it is not up
    1) echo "${up[0]}" ;;
    *) fail 2 "both labs are up: choose one" "--lab=ns (namespaces) or --lab=vm (virtual machines)" ;;
  esac
}

is_host() {
  local host
  for host in "${HOSTS[@]}"; do [ "$host" != "$1" ] || return 0; done
  return 1
}

other_host() { case $1 in sigsrv) echo minisrv ;; *) echo sigsrv ;; esac; }

need_root() {
  [ "$(id -u)" = 0 ] || fail 3 "the lab needs root: $NEEDS_ROOT" "sudo $0 ${*:-up}"
}

need_up() { is_up || fail 3 "the lab is not up" "$LAB/lab${OPTION:+ $OPTION} up"; }

# choose_variant HOSTS INCUS: sets the names that depend on the number of hosts and on the version of Incus
choose_variant() {
  COUNT=$1 INCUS=$2
  HOSTS=("${ALL_HOSTS[@]:0:$COUNT}")
}
in_cluster() { [ "$COUNT" -gt 1 ]; }

# The variant of a lab is saved in its folder, so that all commands know it.
save_variant() { echo "$COUNT $INCUS" >"$STATE/variant"; }
read_variant() {
  local count=2 incus=6.0
  [ ! -f "$STATE/variant" ] || read -r count incus <"$STATE/variant"
  choose_variant "$count" "$incus"
}
variant_words() { echo "$COUNT host$([ "$COUNT" = 1 ] || echo s), Incus $INCUS"; }

# After a reboot another process may have the same pid. The start time distinguishes them.
start_time() { # PID
  local stat
  stat=$(cat "/proc/$1/stat" 2>/dev/null) || return 1
  stat=${stat##*) }
  # shellcheck disable=SC2086 # split into the fields after the name
  set -- $stat
  echo "${20}"
}

host_pid() { # HOST: prints the pid, outside, of its first process (ns) or of its machine (vm); fails if there is none
  local pid started
  read -r pid started 2>/dev/null <"$STATE/$1/$PID_FILE" || return 1
  [ "$(start_time "$pid")" = "$started" ] || return 1
  echo "$pid"
}

is_up() {
  local host
  [ -e "$STATE/complete" ] || return 1
  for host in "${HOSTS[@]}"; do host_pid "$host" >/dev/null || return 1; done
}

# Only one command changes the lab at a time. A process that outlives the command must not keep the lock, or other files that
# the caller has open: a lock of the caller, for example, would never be free again.
let_go() {
  local fd
  for fd in /proc/"$BASHPID"/fd/*; do
    fd=${fd##*/}
    [ "$fd" -le 2 ] || [ "$fd" = 255 ] || eval "exec $fd>&-"   # 255: bash reads this script from it
  done
}

take_lock() {
  mkdir -p "${LOCK%/*}"
  exec {LOCK_FD}>"$LOCK"
  flock -n "$LOCK_FD" && return
  echo "$PROGRAM: waiting for another lab or fault command to end" >&2
  flock -w "$PATIENCE" "$LOCK_FD" || fail 3 "another lab or fault command still runs after $PATIENCE s" "fuser -v $LOCK"
}

# `down` deletes the folder: never take one that has other files.
claim_state() {
  [ ! -e "$STATE" ] || [ -e "$STATE/$MARK" ] || [ -z "$(ls -A "$STATE" 2>&1)" ] ||
    fail 3 "$STATE is not empty and does not belong to the lab" "$STATE_VARIABLE=$STATE_DEFAULT $0${OPTION:+ $OPTION} up"
  mkdir -p "$STATE"
  : >"$STATE/$MARK"
}

missing_packages() {
  local package
  for package in "${PACKAGES[@]}"; do
    [ "$(dpkg-query -W -f '${db:Status-Status}' "$package" 2>/dev/null)" = installed ] || echo "$package"
  done
}

# The mirror that this machine already uses
mirror() {
  local found
  # shellcheck disable=SC2016 # apt expands it
  found=$(apt-get indextargets --format '$(REPO_URI)' "Codename: $(sed -n 's/^VERSION_CODENAME=//p' /etc/os-release)" | head -1)
  [ -n "$found" ] || fail 3 "no package source of this machine is a Debian mirror" "apt-get indextargets"
  echo "$found"
}

# wait_for SECONDS WHAT CMD...: waits until the command succeeds
wait_for() {
  local limit=$((SECONDS + $1 * SLOWNESS)) what=$2
  shift 2
  until "$@" >/dev/null 2>&1; do
    [ "$SECONDS" -lt "$limit" ] || { echo "$PROGRAM: error: timed out waiting for $what" >&2; return 1; }
    sleep 0.1
  done
}

# The pid of the daemon itself: its helpers (forkproxy, the monitors of the containers) have the same name.
incusd_pid() {
  # shellcheck disable=SC2016 # expanded on the host
  on "$1" sh -c 'for pid in $(pidof incusd); do
    case "$(tr "\0" " " <"/proc/$pid/cmdline")" in */incusd\ --*) echo "$pid"; exit 0 ;; esac
  done; exit 1'
}
incusd_runs() { incusd_pid "$1" >/dev/null; }

wait_ready() { on "$1" "$INCUSD" waitready --timeout $((60 * SLOWNESS)); }

# A fresh daemon warns about the kernel (AppArmor, hugetlb, virtual machines), not about the lab. With these warnings a scan
# of the same lab would differ before and after a restart.
# Deletes one by one: `warning delete --all` of 6.0.4 asks for a name, prints its help and ends with 0.
forget_warnings() {
  local id
  on "$1" incus warning list -f csv -c u </dev/null | while read -r id; do
    on "$1" incus -q warning delete "$id" </dev/null
  done
}

members_as_seen() { on "$1" timeout $((10 * SLOWNESS)) incus cluster list -f csv -c ns </dev/null; }               # HOST
sees_all_online() { [ "$(members_as_seen "$1" | sort)" = "$(printf '%s,ONLINE\n' "${HOSTS[@]}" | sort)" ]; }   # HOST

filter_input() { { cat "$(rules_of "$1")"; more_rules "$1"; } | on "$1" nft -f -; } # HOST
