# shellcheck shell=bash
# shows: IMG-001
# does: makes the image of the lab six years old, in the database of the cluster

STAMP=$STATE/image-old   # its real dates

inject() {
  [ -e "$STAMP" ] || incus_at "$1" query "/1.0/images/$(image_of_lab)" | jq -r '.uploaded_at, .created_at' >"$STAMP"
  date_image "$1" 2020-01-01T00:00:00Z 2020-01-01T00:00:00Z
}

heal() {
  [ -e "$STAMP" ] || return 0
  date_image "$1" "$(head -1 "$STAMP")" "$(tail -1 "$STAMP")"
  rm "$STAMP"
}

date_image() { # HOST UPLOADED CREATED
  sql "$1" "UPDATE images SET upload_date='$2', creation_date='$3' WHERE fingerprint='$(image_of_lab)'"
}
