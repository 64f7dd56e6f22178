own=
look() { # NAME: set own to the type of the instance's own device; "" if it has none; "none" masks the device of a profile
  own=
  listed=$(incus config device list --project "$project" -- "local:$instance")
  if printf '%s\n' "$listed" | grep -qxF -e "$1"; then
    own=$(incus config device get --project "$project" -- "local:$instance" "$1" type)
  fi
}
