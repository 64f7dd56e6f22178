# The scripts set $pool, $volume, $project and $target. A volume has no uuid: a namesake was created at another time.
encoded() { printf '%s' "$1" | od -An -v -tx1 | tr -d ' \n' | sed 's/../%&/g'; } # TEXT, as a part of a URL
get() { incus storage volume get --project "$project" ${target:+"--target=$target"} -- "local:$pool" "$volume" "$1"; }
of_volume() { # COMMAND WORDS...: of incus storage volume
  command=$1
  shift
  incus storage volume "$command" --project "$project" ${target:+"--target=$target"} -- "local:$pool" "$volume" "$@"
}
volumes() { # PATH below the list of volumes: its URL
  printf 'local:/1.0/storage-pools/%s/volumes/custom%s?recursion=1&project=%s' "$(encoded "$pool")" "$1" "$(encoded "$project")"
  if [ -n "$target" ]; then printf '&target=%s' "$(encoded "$target")"; fi
}
created() { printf '%s\n' "$1" | sed -n 's/^created_at: //p'; } # the output of incus storage volume show
remember_volume() {
  shown=$(of_volume show) || exit 1
  created "$shown" >"$SIGSRV_STATE/created"
}
find_volume() { # sets $volume to its name now; ends the undo if it is gone
  [ -s "$SIGSRV_STATE/created" ] || { echo "nothing was changed"; exit 0; }
  was=$(cat "$SIGSRV_STATE/created")
  if shown=$(of_volume show 2>&1); then
    now=$(created "$shown")
    [ "$now" != "$was" ] || return 0
    echo "$pool/$project/$volume: it is another volume of the same name now, made at $now"
  else
    case $shown in
      *"not found"*) ;;
      *) echo "$shown" >&2; exit 1 ;;
    esac
  fi
  found=''
  if listed=$(incus query -- "$(volumes '')" 2>&1); then
    found=$(printf '%s\n' "$listed" | WAS="\"$was\"," AT="\"$target\"," awk '
      /^\t\t"created_at": / { same = $2 == ENVIRON["WAS"]; here = 1 }
      /^\t\t"location": / { here = ENVIRON["AT"] == "\"\"," || $2 == ENVIRON["AT"] }
      /^\t\t"name": "[^\/]*",$/ && same && here { sub(/^[^:]*: "/, ""); sub(/",$/, ""); print }')
  else
    case $listed in
      *"not found"*) ;; # the pool or the member is gone
      *) echo "$listed" >&2; exit 1 ;;
    esac
  fi
  if [ -z "$found" ]; then
    echo "nothing left to undo: the volume that was $pool/$project/$volume is gone"
    exit 0
  fi
  echo "$pool/$project/$volume is $found now"
  volume=$found
}
