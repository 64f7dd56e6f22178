# Keys of the network $network. $target: the member whose own keys are meant; "" for the keys that all members have.
# Incus sets the network up again at each request, on all members: so all keys go into one request.
# An undo needs kept.sh too.
net() { # get|set WORD...
  verb=$1
  shift
  incus network "$verb" ${target:+--target "$target"} -- "local:$network" "$@"
}

has_network() { # a bridge of the host that Incus does not manage has no keys
  listed=$(incus network list -f csv local:) || exit 1
  printf '%s\n' "$listed" | cut -d , -f 1,3 | grep -qxF -e "$network,YES"
}

differs() { # KEY=VALUE: save the old and the new value; return 1 if the network has this value already
  key=${1%%=*}
  value=${1#*=}
  old=$(net get "$key") || exit 1
  [ "$old" != "$value" ] || return 1
  printf '%s\n' "$old" >"$SIGSRV_STATE/old.$key"
  printf '%s\n' "$value" >"$SIGSRV_STATE/new.$key"
}

change() { # KEY=VALUE...: set all keys that differ
  net set "$@"
  for pair; do
    old=$(cat "$SIGSRV_STATE/old.${pair%%=*}")
    value=${pair#*=}
    echo "$network: ${pair%%=*}: ${old:-unset} -> ${value:-unset}"
  done
}

goes_back() { # KEY: set $old; return 1 if its value stays, because it is the old one already or somebody has changed it since
  if [ ! -s "$SIGSRV_STATE/old.$1" ] || [ ! -s "$SIGSRV_STATE/new.$1" ]; then return 1; fi
  old=$(cat "$SIGSRV_STATE/old.$1")
  new=$(cat "$SIGSRV_STATE/new.$1")
  now=$(net get "$1") || exit 1
  [ "$now" != "$old" ] || return 1
  if [ "$now" != "$new" ] && ! forced; then
    kept "$network: $1 is ${now:-unset}, not ${new:-unset} as the fix left it"
    return 1
  fi
}

restore() { # KEY=VALUE...: set all keys that go back
  net set "$@"
  for pair; do
    value=${pair#*=}
    echo "$network: ${pair%%=*}: back to ${value:-unset}"
  done
}
