# shellcheck shell=bash
# shows: POOL-001
# does: takes the disk of the pool iso away from the host and restarts its daemon: the pool is Unavailable there
# labs: vm

DRIVER=/sys/bus/virtio/drivers/virtio_blk

inject() {
  if ! on "$1" test -e /dev/disk/by-id/virtio-iso; then return; fi
  stop_incusd "$1"
  on "$1" sh -c "set -e
    zpool export iso
    device=\$(basename \"\$(readlink -f /sys/class/block/\"\$(basename \"\$(readlink -f /dev/disk/by-id/virtio-iso)\")\"/device)\")
    echo \"\$device\" >/run/lost-disk
    echo \"\$device\" >$DRIVER/unbind
    systemctl start incus.socket incus.service"
  wait_ready "$1"
  wait_for 30 "both members Online on sigsrv" sees_all_online sigsrv
  wait_for 30 "the pool iso of $1 Unavailable" is_unavailable "$1"
}

is_unavailable() { [ "$(incus_at "$1" query "/1.0/storage-pools/iso?target=$1" | jq -r .status)" = Unavailable ]; }
is_created() { [ "$(incus_at "$1" query "/1.0/storage-pools/iso?target=$1" | jq -r .status)" = Created ]; }

heal() {
  on "$1" sh -c "[ ! -e /run/lost-disk ] || { cat /run/lost-disk >$DRIVER/bind; rm /run/lost-disk; udevadm settle; systemctl restart incus.service; }"
  wait_for 30 "the pool iso of $1" is_created "$1"
  is_well_again "$1"
}
