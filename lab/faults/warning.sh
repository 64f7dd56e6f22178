# shellcheck shell=bash
# shows: CLUS-005
# does: adds a warning about the host to the database of the cluster: a network could not be set up

WARNING=5fa00000-0000-4000-8000-000000000005   # its uuid

# Writes to the database: a real cause of a warning would either fail another policy or depend on the kernel of the machine.
inject() {
  has_warning "$1" || sql "$1" "INSERT INTO warnings
    (node_id, entity_type_code, entity_id, uuid, type_code, status, first_seen_date, last_seen_date, updated_date, last_message, count)
    SELECT id, -1, -1, '$WARNING', 19, 1, datetime(), datetime(), datetime(), 'no such device', 1 FROM nodes WHERE name='$1'"
  has_warning "$1"
}

heal() { ! has_warning "$1" || incus_at "$1" warning delete "$WARNING"; }

has_warning() { incus_at "$1" warning list -f csv -c u | grep -qx "$WARNING"; }
