# The scripts set $instance and $project. In an undo, find_instance sets both to where the instance is now.
get() { incus config get --project "$project" -- "local:$instance" "$1"; } # KEY: its value on the instance itself
column() { # LETTER: s, the status; p, the PID of the first process, another one after each start; t, the type
  listed=$(incus list local: --project "$project" --format csv --columns "n$1") || return 1
  printf '%s\n' "$listed" | while IFS=, read -r row value; do
    if [ "$row" = "$instance" ]; then echo "$value"; fi
  done
}
remember_instance() { # after all old values, so that an undo without this file has nothing to do. A copy gets another uuid
  get volatile.uuid >"$SIGSRV_STATE/uuid"
}
find_instance() { # ends the undo if the instance is gone
  [ -s "$SIGSRV_STATE/uuid" ] || { echo "nothing was changed"; exit 0; }
  uuid=$(cat "$SIGSRV_STATE/uuid")
  rows=
  if [ -n "$uuid" ]; then
    rows=$(incus list local: --all-projects --format csv --columns en -- "volatile.uuid=$uuid")
  else # it was never started by a version of Incus that gives a uuid
    rows=$(incus list local: --project "$project" --format csv --columns en)
    rows=$(printf '%s\n' "$rows" | awk -v wanted="$project,$instance" '$0 == wanted')
  fi
  if [ -z "$rows" ]; then
    states=$(incus list local: --all-projects --format csv --columns s)
    case $states in
      *ERROR*) echo "$project/$instance: not found, but a member does not answer. Undo this again when it does" >&2; exit 1 ;;
    esac
    if get volatile.uuid >/dev/null 2>&1; then
      echo "$project/$instance: it is another instance of the same name now, and stays as it is"
    fi
    echo "nothing left to undo: the instance that was $project/$instance is gone"
    exit 0
  fi
  row=$(printf '%s\n' "$rows" | head -n 1)
  if [ "$row" != "$project,$instance" ]; then echo "$project/$instance is ${row%%,*}/${row#*,} now"; fi
  project=${row%%,*}
  instance=${row#*,}
}
busy() { # prints what Incus does with the instance just now, one line each. A command that nobody types in does not count
  rows=$(incus query -- "local:/1.0/operations?recursion=1&project=$project") || return 1
  printf '%s\n' "$rows" | URL="\"/1.0/instances/$instance" PROJECT="?project=$project" awk '
    /^\t\t\t"class":/ { class = $2; typed = 0 }
    /^\t\t\t"description":/ { what = $0; sub(/^[^:]*: "/, "", what); sub(/",$/, "", what) }
    /^\t\t\t\t"interactive": true/ { typed = 1 }
    index($0, ENVIRON["URL"] "\"") || index($0, ENVIRON["URL"] ENVIRON["PROJECT"] "\"") { if (class != "\"websocket\"," || typed) print what }'
}
