# shellcheck shell=bash
# shows: CLUS-005
# does: adds a warning of ten days ago to the database of the cluster: the host missed the other member, which is back since

OLD_WARNING=5fa00000-0000-4000-8000-000000000006   # its uuid

inject() {
  has_old_warning "$1" || sql "$1" "INSERT INTO warnings
    (node_id, entity_type_code, entity_id, uuid, type_code, status, first_seen_date, last_seen_date, updated_date, last_message, count)
    SELECT id, -1, -1, '$OLD_WARNING', 20, 1, datetime('now', '-10 days'), datetime('now', '-10 days'), datetime('now', '-10 days'),
    'the other member', 1 FROM nodes WHERE name='$1'"
  has_old_warning "$1"
}

heal() { ! has_old_warning "$1" || incus_at "$1" warning delete "$OLD_WARNING"; }

has_old_warning() { incus_at "$1" warning list --all -f csv -c u | grep -qx "$OLD_WARNING"; }
