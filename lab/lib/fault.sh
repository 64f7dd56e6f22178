# shellcheck shell=bash
# fault: the functions that the files in faults/ share. Each of these files defines inject and heal. Both get the host as $1,
# may run twice, and return when the change is really made or really gone.

# header FILE shows|does|labs: prints a header line of a fault
header() { sed -n "s/^# $2: //p" "$1"; }

incus_at() { # HOST ARGUMENT...
  local host=$1
  shift
  on "$host" incus -q "$@" </dev/null
}

service_of() { case $1 in sigsrv) echo svc-a ;; minisrv) echo svc-b ;; twinsrv) echo svc-c ;; esac; }
tenant_of() { case $1 in sigsrv) echo tenant2 ;; minisrv) echo tenant1 ;; twinsrv) echo tenant3 ;; esac; }   # of project restricted
stopped_of() { case $1 in sigsrv) echo stopped-a ;; minisrv) echo stopped-b ;; twinsrv) echo stopped-c ;; esac; }

# sql HOST STATEMENT: changes the database of the cluster. SQLite refuses while the daemon writes (database is locked), so try again.
sql() {
  local limit=$((SECONDS + 20 * SLOWNESS)) said
  until said=$(incus_at "$1" admin sql global "$2" 2>&1); do
    case $said in *"database is locked"*) ;; *) echo "$said" >&2; return 1 ;; esac
    [ "$SECONDS" -lt "$limit" ] || { echo "$said" >&2; return 1; }
    sleep 0.3
  done
}

# set_keys HOST "KIND NAME" KEY=VALUE...: KIND is config, network, project or profile; `KEY=` unsets.
# Reads first and writes only keys that differ, in one request: Incus rejects unsetting an unset key. For an instance it runs `unset`:
# with `KEY=` Incus treats a profile's value as empty until the next start, although it still shows the value.
set_keys() {
  local host=$1 pair now changes=() kind
  read -ra kind <<<"$2"
  shift 2
  for pair; do
    now=$(incus_at "$host" "${kind[0]}" get "${kind[@]:1}" "${pair%%=*}")
    if [ "$now" = "${pair#*=}" ]; then continue; fi
    if [ "${kind[0]}" = config ] && [ -z "${pair#*=}" ]; then
      incus_at "$host" config unset "${kind[@]:1}" "${pair%%=*}"
    else
      changes+=("$pair")
    fi
  done
  [ ${#changes[@]} = 0 ] || incus_at "$host" "${kind[0]}" set "${kind[@]:1}" "${changes[@]}"
}

# Whether a container runs with the ID map of a privileged one, even if its configuration has changed since
runs_privileged() { # HOST INSTANCE
  [ "$(incus_at "$1" config get "$2" volatile.idmap.current)" = "[]" ]
}

restart_as() { # HOST INSTANCE privileged|unprivileged: changes no key; restarts the instance only if it runs as the other
  local now=unprivileged
  ! runs_privileged "$1" "$2" || now=privileged
  [ "$now" != "$3" ] || return 0
  incus_at "$1" restart -f "$2"
  wait_for 20 "a lease for $2" has_lease "$1" "$2"
}

# HOST INSTANCE [PROJECT]
has_lease() { incus_at "$1" list --project "${3:-default}" "^$2\$" -f csv -c s4 | grep -q '^RUNNING,172\.'; }

master_of() { # HOST LINK: prints the bridge of the port; nothing if the link is no port
  on "$1" ip -j link show "$2" | jq -r '.[0].master // empty'
}

move_port() { # HOST LINK [BRIDGE]
  [ "$(master_of "$1" "$2")" != "${3:-}" ] || return 0
  if [ -n "${3:-}" ]; then on "$1" ip link set "$2" master "$3"; else on "$1" ip link set "$2" nomaster; fi
}

member_is() { [ "$(members_as_seen "$1" | grep "^$2,")" = "$2,$3" ]; }   # SEEN-FROM MEMBER STATUS

# The fingerprint of the image of the lab's instances
image_of_lab() { sha256sum <"$STATE/busybox.tar.gz" | cut -d' ' -f1; }

# trust_certificate HOST NAME FINGERPRINT [OPTION...]: adds a client certificate; stdin has its PEM
trust_certificate() {
  local host=$1 name=$2 fingerprint=$3
  shift 3
  if trusts "$host" "$fingerprint"; then return; fi
  on "$host" sh -c 'cat >/run/fault.crt'
  incus_at "$host" config trust add-certificate /run/fault.crt --name "$name" "$@"
  on "$host" rm /run/fault.crt
}
distrust_certificate() { ! trusts "$1" "$2" || incus_at "$1" config trust remove "$2"; } # HOST FINGERPRINT
trusts() { incus_at "$1" config trust list -f csv -c f | grep -q "^$2"; }               # HOST FINGERPRINT

# The rest is for virtual machines only (vm/).

# reboot_host HOST: reboots cleanly and waits until everything runs again
reboot_host() {
  local id
  id=$(on "$1" cat /proc/sys/kernel/random/boot_id </dev/null)
  on "$1" systemctl reboot </dev/null
  wait_for 60 "the reboot of $1" is_booted_anew "$1" "$id"
  is_well_again "$1"
}

is_booted_anew() { # HOST BOOT-ID
  local now
  now=$("$LAB/vm/qemu" exec "$STATE/$1/agent" cat /proc/sys/kernel/random/boot_id </dev/null 2>/dev/null) && [ "$now" != "$2" ]
}

# is_well_again HOST: after a start or a pause, waits until all members and containers are back, and deletes logs and warnings since then
is_well_again() {
  local host
  set_clocks
  wait_for 30 "a synchronized clock on $1" clock_is_kept "$1"
  wait_for 60 "the start of $1" on "$1" systemctl --quiet is-active multi-user.target incus.service
  wait_ready "$1"
  for host in "${HOSTS[@]}"; do wait_for 90 "both members Online on $host" sees_all_online "$host"; done
  wait_for 30 "the leases of the containers" all_have_leases_at "$1"
  forget_log "$1"
  forget_warnings "$1"
}

# forty_days_ago HOST SCRIPT: runs the script with the clock of the host set back, for a moment. The daemon is stopped meanwhile: for the other
# member such a wrong clock would be a fault of its own.
forty_days_ago() {
  local pid
  pid=$(incusd_pid "$1")
  # shellcheck disable=SC2016 # expanded on the host
  on "$1" sh -c 'set -e
    systemctl stop lab-clock chrony
    kill -STOP "$1"
    date -s "@$(($(date +%s) - 40 * 86400))" >/dev/null
    status=0
    sh -ec "$2" || status=$?
    date -s "@$(($(date +%s) + 40 * 86400))" >/dev/null
    kill -CONT "$1"
    systemctl start chrony lab-clock
    exit "$status"' sh "$pid" "$2" </dev/null
  is_well_again "$1"
}

all_have_leases_at() { ! incus_at "$1" list --all-projects -f csv -c s4 | grep -v '^STOPPED,' | grep -qv '^RUNNING,172\.'; } # HOST

# Deletes the log entries about a fault that is gone. It does not reset a failed unit: the heal function of that fault must do it.
forget_log() { on "$1" journalctl --quiet --rotate --vacuum-time=1s </dev/null; } # HOST
