# shellcheck shell=bash
# shows: IMG-003
# does: makes the image of the lab public

inject() { publish "$1" true; }
heal() { publish "$1" false; }

publish() { # HOST true|false
  local url
  url=/1.0/images/$(image_of_lab)
  incus_at "$1" query -X PATCH --data "{\"public\": $2}" "$url"
}
