# shellcheck shell=bash
# vm/contents: makes the cluster of the virtual machines and its contents once, and saves both machines.

make_contents() { # IMAGE FOLDER
  local image=$1 folder=$2 new host
  new=$(mktemp -d "$CACHE/new.XXXXXX")
  make_disks "$image"
  build_image "$STATE/busybox.tar.gz"
  for host in "${HOSTS[@]}"; do start_machine "$host" "$image"; done
  for host in "${HOSTS[@]}"; do "$LAB/vm/qemu" ready "$STATE/$host/agent" 300; done
  for host in "${HOSTS[@]}"; do wait_for 60 "the start of $host" has_started "$host"; wait_ready "$host"; done
  say "two hosts: sshd and incusd run"
  for host in "${HOSTS[@]}"; do write_lists "$host"; done
  form_cluster
  say "one cluster"
  for host in "${HOSTS[@]}"; do
    on "$host" zpool create -m none hdd mirror /dev/disk/by-id/virtio-hdd-a /dev/disk/by-id/virtio-hdd-b </dev/null
  done
  fill_cluster
  for host in "${HOSTS[@]}"; do
    on "$host" sh -c 'zpool scrub -w nvme; zpool scrub -w hdd; zpool scrub -w iso; journalctl --quiet --rotate --vacuum-time=1s' </dev/null
  done
  forget_warnings sigsrv
  say "the contents are complete; saving both machines"
  save_machines "$new"
  cp "$STATE/busybox.tar.gz" "$new/"
  find "$CACHE" -maxdepth 1 -name 'saved-*' -exec rm -rf --one-file-system {} +
  mv "$new" "$folder"
  say "saved: $(du -sh "$folder" | cut -f 1)"
}

has_started() { on "$1" systemctl --quiet is-active multi-user.target </dev/null; }

write_lists() { # HOST
  write_updates "$1"
  tar -C "$STATE/$1/apt" -cf - . | on "$1" tar --warning=no-timestamp -xf - -C /var/lib/apt
}
