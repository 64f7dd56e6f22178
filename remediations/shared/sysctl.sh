# Settings of the kernel that also a file in /etc/sysctl.d sets. `nobody_sets KEY FILE` refuses if another file sets the key to another
# value than 1. `turn_on KEY` sets it to 1. `turn_back KEY` sets the old value again, unless it has another value now; it
# needs kept.sh.
nobody_sets() {
  for each in /etc/sysctl.conf /etc/sysctl.d/*.conf /run/sysctl.d/*.conf /usr/local/lib/sysctl.d/*.conf /usr/lib/sysctl.d/*.conf; do
    if [ ! -f "$each" ] || [ "$each" = "$2" ]; then continue; fi
    if sed 's|/|.|g' "$each" | grep -Eq "^[[:space:]]*-?$1[[:space:]]*=[[:space:]]*0"; then refuse "$each sets $1 to 0: change it there"; fi
  done
}
save_sysctl() {
  old=$(sysctl -n "$1" 2>/dev/null || true)
  if [ "$old" != 1 ] && [ ! -s "$SIGSRV_STATE/$1" ]; then echo "${old:-none}" >"$SIGSRV_STATE/$1"; fi
}
turn_on() {
  [ "$(sysctl -n "$1")" != 1 ] || return 0
  sysctl -qw "$1=1"
  echo "$1: 1"
}
turn_back() {
  [ -s "$SIGSRV_STATE/$1" ] || return 0
  now=$(sysctl -n "$1" 2>/dev/null || true)
  case $now in
    "" | 0) ;; # undone already
    1) sysctl -qw "$1=0" && echo "$1: 0 again" ;;
    *) if forced; then sysctl -qw "$1=0"; else kept "$1 is $now, not 1 as the fix left it"; fi ;;
  esac
}
