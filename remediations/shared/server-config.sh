config() { # MEMBER get|set|unset WORDS...
  if [ -n "$1" ]; then
    target=$1 verb=$2
    shift 2
    incus config "$verb" --target "$target" -- "local:" "$@"
  else
    verb=$2
    shift 2
    incus config "$verb" -- "local:" "$@"
  fi
}
# MEMBER ADDRESS: opens the listener for the other members, which Incus opens only at its start if the key covered the cluster's address
# before. ADDRESS: the one that the key has now; "" if that does not matter.
open_cluster_listener() {
  address=$(config "$1" get cluster.https_address)
  port=${address##*:}
  case $2 in '') ;; ":$port" | "0.0.0.0:$port" | "[::]:$port" | "$address") return 0 ;; esac # it has a listener, and covers the cluster's
  [ -n "$address" ] || return 0
  [ -z "$(ss -Hltn "src $address")" ] || return 0
  if ! systemctl --quiet is-active incus.service; then
    echo "the other members reach $address only after a restart of the daemon. Restart it by hand" >&2
    exit 1
  fi
  systemctl restart incus.service
  i=0
  until [ -n "$(ss -Hltn "src $address")" ] && incus cluster list local: -f csv >/dev/null 2>&1; do
    i=$((i + 1))
    [ "$i" -le 60 ] || { echo "nothing listens on $address one minute after the restart of the daemon" >&2; exit 1; }
    sleep 1
  done
  echo "the daemon was restarted: it listens on $address too"
}
