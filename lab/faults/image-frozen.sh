# shellcheck shell=bash
# shows: IMG-001
# does: gives the image of the lab a source that it is not updated from, in the database of the cluster

inject() {
  has_source "$1" || sql "$1" "INSERT INTO images_source (image_id, server, protocol, certificate, alias)
    SELECT id, 'https://images.linuxcontainers.org', 1, '', 'busybox' FROM images WHERE fingerprint='$(image_of_lab)'"
  incus_at "$1" config unset images.auto_update_interval   # the lab turns all updates off: it reaches no server
}

heal() {
  incus_at "$1" config set images.auto_update_interval=0
  sql "$1" "DELETE FROM images_source WHERE alias='busybox'"
}

has_source() { incus_at "$1" query "/1.0/images/$(image_of_lab)" | jq -e .update_source >/dev/null; }
