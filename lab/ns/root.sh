# shellcheck shell=bash
# root: makes the root of hosts with another Incus than the machine can install: Debian 13 with Incus of its backports. It is made once,
# in a folder whose name is a hash of its inputs. Nothing writes to it: each host has its own layer on top.

ROOTS=${XDG_CACHE_HOME:-$HOME/.cache}/sigsrv-lab
OLDEST_DAYS=30

root_folder() { echo "$ROOTS/root-$INCUS-$(sha256sum <"$LAB/ns/build-root.sh" | cut -c 1-12)"; }

make_root() {
  local folder lock new source
  folder=$(root_folder)
  mkdir -p "$ROOTS"
  exec {lock}>"$ROOTS/lock"
  flock "$lock"
  [ -z "$(find "$folder" -maxdepth 0 -mtime "+$OLDEST_DAYS" 2>/dev/null)" ] || remove_root "$folder"
  if [ ! -d "$folder" ]; then
    find "$ROOTS" -maxdepth 1 -name 'new.*' -exec rm -rf --one-file-system {} +
    source=$(mirror) || exit
    new=$(mktemp -d "$ROOTS/new.XXXXXX")
    say "building a root with Incus $INCUS, only this time: about half a minute ($STATE/build-root.log)"
    "$LAB/ns/build-root.sh" "$new/root" "$source" >"$STATE/build-root.log" 2>&1 ||
      fail 3 "the root with Incus $INCUS can't be built: $(grep -hm 1 '^E: ' "$STATE/build-root.log" || tail -1 "$STATE/build-root.log")" "where the network is there: $LAB/lab --incus=$INCUS install"
    for each in "$ROOTS/root-$INCUS"-*; do [ ! -d "$each" ] || remove_root "$each"; done
    mv "$new/root" "$folder"
    rm -rf --one-file-system "$new"
    say "root: $(du -sh "$folder" | cut -f 1)"
  fi
  exec {lock}>&-
}

# Not the root of a lab that is up: a host has it as its lowest layer.
remove_root() { grep -qsF "lowerdir=$1," /proc/[0-9]*/mountinfo || rm -rf --one-file-system "$1"; } # FOLDER
