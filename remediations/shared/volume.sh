pool={{ pool }} volume={{ volume }} project={{ project }} member={{ member }}
get() { incus storage volume get --project "$project" ${member:+"--target=$member"} -- "local:$pool" "$volume" "$1"; }
# identity: what another volume of the same name does not share
identity() {
  shown=$(incus storage volume show --project "$project" ${member:+"--target=$member"} -- "local:$pool" "$volume") || exit 1
  printf '%s\n' "$shown" | sed -n 's/^created_at: //p; s/^  volatile.uuid: //p'
}
# used_bytes: what the volume contains, as the pool's driver counts it, else as its files do; nothing if neither is known here
used_bytes() {
  state=$(incus query -- "local:/1.0/storage-pools/$pool/volumes/custom/$volume/state?project=$project" 2>/dev/null || true)
  used=$(printf '%s\n' "$state" | sed -n 's/^[[:space:]]*"used": \([0-9]*\).*/\1/p')
  folder=/var/lib/incus/storage-pools/$pool/custom/${project}_$volume
  if [ "${used:-0}" = 0 ] && [ -d "$folder" ]; then used=$(nice du -sxB1 -- "$folder" | cut -f 1); fi
  if [ "${used:-0}" != 0 ]; then echo "$used"; fi
}
