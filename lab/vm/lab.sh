# shellcheck shell=bash
# shellcheck source-path=SCRIPTDIR
# vm/lab: starts and removes the lab in virtual machines. Only the cache stays.
#
# The cache has two things, each made once, in a folder whose name is a hash of its inputs: the image (a disk, a kernel), and the saved
# state (memory and disks of both machines, with the cluster and its contents). Both machines continue from that state in seconds.

# shellcheck source=packages.sh
. "$LAB/vm/packages.sh"
# shellcheck source=machines.sh
. "$LAB/vm/machines.sh"
# shellcheck source=contents.sh
. "$LAB/vm/contents.sh"

CACHE=${XDG_CACHE_HOME:-$HOME/.cache}/sigsrv-vm-lab
OLDEST_DAYS=30   # the saved state contains things that age: images, certificates, scrubs

IMAGE_INPUTS=(vm/build-image.sh vm/build-zfs.sh vm/guest lib/apt lib/firewall.nft)
STATE_INPUTS=(vm/contents.sh vm/disks.sh vm/machines.sh lib/contents.sh lib/image.sh lib/updates.sh)

# hash_of FILE-OR-FOLDER...: prints a hash of their names and contents
hash_of() {
  (cd "$LAB" && find "$@" -type f -print0 | LC_ALL=C sort -z | xargs -0 sha256sum | sha256sum | cut -c 1-12)
}

need_machine() {
  local port
  for port in "${SSH_PORT[@]}" "${API_PORT[@]}"; do
    ! (exec 3<>"/dev/tcp/127.0.0.1/$port") 2>/dev/null || fail 3 "port $port of 127.0.0.1 is in use" "ss -tlnp 'sport = :$port'"
  done
}

make_ready() { :; }     # `up` makes the image and the saved state
restore_policy() { :; }   # the packages of this lab start no service

logs_of_the_abort() { tail -qn 3 "$STATE"/*/qemu.log "$STATE"/build.log 2>/dev/null; }

build() {
  local image saved
  set +m
  mkdir -p "$CACHE"
  image=$CACHE/image-$(hash_of "${IMAGE_INPUTS[@]}")
  [ -e "$image/base.qcow2" ] || make_image "$image"
  # Another version of QEMU may not be able to read the saved state.
  saved=$CACHE/saved-$({ hash_of "${IMAGE_INPUTS[@]}" "${STATE_INPUTS[@]}"; qemu-system-x86_64 --version; accelerator "$image"; } | sha256sum | cut -c 1-12)
  [ -z "$(find "$saved" -maxdepth 0 -mtime "+$OLDEST_DAYS" 2>/dev/null)" ] || rm -rf --one-file-system "$saved"
  cp "$image/id" "$image/id.pub" "$STATE/"
  ln -sfn "$image" "$STATE/machine-image"
  [ -e "$saved/busybox.tar.gz" ] || make_contents "$image" "$saved"
  cp "$saved/busybox.tar.gz" "$STATE/"
  make_disks "$image" "$saved"
  for host in "${HOSTS[@]}"; do start_machine "$host" "$image" "$saved/$host/memory"; done
  resume_machines
  set_clocks
  say "both machines continue from their saved state"
  for host in "${HOSTS[@]}"; do wait_for 30 "both members Online on $host" sees_all_online "$host"; done
  for host in "${HOSTS[@]}"; do wait_for 30 "a synchronized clock on $host" clock_is_kept "$host"; done
  freshen
  write_clients
  : >"$STATE/complete"
}

make_image() { # FOLDER
  local new
  new=$(mktemp -d "$CACHE/new.XXXXXX")
  mkdir "$new/tmp"
  say "building the image, only this time: about six minutes ($STATE/build.log)"
  MIRROR=$(mirror)
  export SUITE MIRROR TMPDIR=$new/tmp
  { "$LAB/vm/build-zfs.sh" "$new/zfs" || : >"$new/zfs/failed"; } >"$STATE/build-zfs.log" 2>&1 &
  "$LAB/vm/build-image.sh" "$new/image" "$new/zfs" >"$STATE/build.log" 2>&1
  wait
  find "$CACHE" -maxdepth 1 -name 'image-*' -exec rm -rf --one-file-system {} +
  mv "$new/image" "$1"
  rm -rf --one-file-system "$new"
  say "image: $(du -sh "$1" | cut -f 1)"
}

# Makes new package lists, snapshots and backups, because a scan checks their age.
freshen() {
  local host
  for host in "${HOSTS[@]}"; do write_lists "$host"; done
  if [ -n "$(on sigsrv find "$BACKUPS" -name 'svc-a-*' -mmin +600 </dev/null)" ]; then
    ask snapshot create svc-a --no-expiry --reuse latest
    ask storage volume snapshot create nvme data latest --no-expiry --reuse
    back_up
  fi
  forget_warnings sigsrv
}

remove_hosts() {
  kill_hosts
  remove_clients
  rm -rf --one-file-system "$CACHE"/new.*
}
