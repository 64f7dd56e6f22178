# A file that belongs to one fix. `own_file FILE` refuses if there is a file with other content than "$SIGSRV_STATE/content"; the caller puts
# it there. `put_file FILE` writes it. `take_file FILE` removes it, unless somebody has changed it; it needs kept.sh.
own_file() {
  if [ ! -e "$1" ]; then
    if [ ! -d "${1%/*}" ] || [ ! -w "${1%/*}" ]; then refuse "${1%/*} can't be written: change what the system is built from"; fi
    echo yes >"$SIGSRV_STATE/new-file"
  elif [ "$(cat "$1")" != "$(cat "$SIGSRV_STATE/content")" ]; then
    refuse "$1 has other content: look at it first"
  fi
}
put_file() {
  [ -s "$SIGSRV_STATE/new-file" ] || return 0
  chmod 644 "$SIGSRV_STATE/content"
  cp "$SIGSRV_STATE/content" "$1"
  sync "$1" "${1%/*}"
  echo "$1: written"
}
take_file() {
  if [ ! -s "$SIGSRV_STATE/new-file" ] || [ ! -e "$1" ]; then return 0; fi
  if [ "$(cat "$1")" = "$(cat "$SIGSRV_STATE/content")" ] || forced; then
    rm -f -- "$1"
    echo "$1: removed"
  else
    kept "$1 has other content than the fix wrote"
  fi
}
