# A member is found by the address that the others use, as somebody may rename it.
url() { printf '%s\n' "$1" | sed -n 's/^url: //p'; } # the output of incus cluster show
scheduler() { # incus cluster get fails where the key is unset
  shown=$(incus cluster show -- "local:$member") || return 1
  printf '%s\n' "$shown" | sed -n 's/^  scheduler.instance: //p'
}
remember_member() {
  shown=$(incus cluster show -- "local:$member") || exit 1
  url "$shown" >"$SIGSRV_STATE/url"
}
find_member() { # sets $member to its name now; ends the undo if it is gone
  was=$(cat "$SIGSRV_STATE/url")
  if shown=$(incus cluster show -- "local:$member" 2>&1); then
    now=$(url "$shown")
    if [ "$now" = "$was" ] || [ -z "$was" ]; then return 0; fi
    echo "$member: it is another member of the same name now, at $now"
  else
    case $shown in
      *"not found"*) ;;
      *) echo "$shown" >&2; exit 1 ;;
    esac
  fi
  rows=$(incus cluster list local: --format csv --columns nu)
  found=$(printf '%s\n' "$rows" | URL="$was" awk -F , 'ENVIRON["URL"] != "" && $2 == ENVIRON["URL"] { print $1 }')
  if [ -z "$found" ]; then
    echo "nothing left to undo: the member that was $member is gone"
    exit 0
  fi
  echo "$member is $found now"
  member=$found
}
