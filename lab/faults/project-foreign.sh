# shellcheck shell=bash
# shows: PROJ-008
# does: makes a restricted project guest that the site file does not have

exists() { incus_at "$1" project list -f csv -c n | grep -q '^guest\( (current)\)\?$'; }

inject() { exists "$1" || incus_at "$1" project create guest -c features.images=false -c restricted=true; }
heal() { ! exists "$1" || incus_at "$1" project delete guest; }
