# The scripts set $profile and $owner, the project that has it. A profile has no identity but its name.
profile_key() { incus profile get --project "$owner" -- "local:$profile" "$1"; } # KEY
has_profile() {
  listed=$(incus profile list local: --project "$owner" --format csv --columns n) || exit 1
  printf '%s\n' "$listed" | grep -qxF -e "$profile"
}
has_device() { # NAME
  listed=$(incus profile device list --project "$owner" -- "local:$profile") || exit 1
  printf '%s\n' "$listed" | grep -qxF -e "$1"
}
has_properties() { # DEVICE type=TYPE PROPERTY=VALUE...: whether the device has these; sets $other to the first one that differs
  name=$1
  shift
  for pair; do
    other=${pair%%=*}
    value=$(incus profile device get --project "$owner" -- "local:$profile" "$name" "$other") || exit 1
    [ "$value" = "${pair#*=}" ] || return 1
  done
}
