# shellcheck shell=bash
# shows: INST-013
# does: stops the critical container svc-a; either host name does the same

runs() { incus_at "$1" list '^svc-a$' -f csv -c s | grep -q RUNNING; }

inject() { ! runs "$1" || incus_at "$1" stop -f svc-a; }

heal() {
  runs "$1" || incus_at "$1" start svc-a
  wait_for 20 "a lease for svc-a" has_lease "$1" svc-a
}
