# shellcheck shell=bash
# shows: POOL-003
# does: fills the pool nvme of the host, a 1 GiB file, almost completely
# labs: ns

POOL=/var/lib/incus/storage-pools/nvme

# fallocate takes the space without writing to it. btrfs frees space at its next commit, half a minute later, or at a sync.
inject() { on "$1" sh -c "[ -e $POOL/ballast ] || fallocate -l 850M $POOL/ballast"; }

heal() {
  on "$1" rm -f "$POOL/ballast"
  on "$1" sync -f "$POOL"
}
