# An instance is found by its volatile.uuid: its name may belong to another one now. `found UUID` sets instance and project; it fails if
# no instance has it any more.
found() {
  [ -n "$1" ] || return 1
  at=$(incus list local: --all-projects --format csv --columns en "volatile.uuid=$1") || exit 1
  [ -n "$at" ] || return 1
  if [ "${at%%,*}/${at#*,}" != "$project/$instance" ]; then echo "$project/$instance is ${at%%,*}/${at#*,} now"; fi
  project=${at%%,*} instance=${at#*,}
}
