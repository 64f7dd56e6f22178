#!/bin/bash
# build-zfs: compiles the ZFS modules for the guests' kernel, on this machine: in an emulated guest it would take an hour.
# usage: build-zfs.sh OUT  (writes OUT/*.ko.xz, and OUT/kernel: the kernel version for which they are); environment: SUITE, MIRROR
# It runs in mmdebstrap's own mount namespace and temporary folder: nothing stays mounted.
set -euo pipefail
out=$1
mkdir -p "$out"
cat >"$out/hook.sh" <<'H'
set -eu
root=$1 out=$2
kernel=$(basename "$(ls -d "$root"/lib/modules/*cloud-amd64 | sort -V | tail -1)")
DEBIAN_FRONTEND=noninteractive chroot "$root" apt-get install -y --no-install-recommends zfs-dkms >"$out/dkms.log" 2>&1 || true
version=$(chroot "$root" dpkg-query -W -f '${Version}' zfs-dkms | sed 's/-.*//')
if ! ls "$root/lib/modules/$kernel/updates/dkms/"zfs.ko* >/dev/null 2>&1; then
  chroot "$root" dkms build "zfs/$version" -k "$kernel" >>"$out/dkms.log" 2>&1
  chroot "$root" dkms install "zfs/$version" -k "$kernel" >>"$out/dkms.log" 2>&1
fi
cp "$root/lib/modules/$kernel/updates/dkms/"*.ko* "$out/"
echo "$kernel" >"$out/kernel"
H
mmdebstrap --quiet --variant=minbase --mode=root --format=null --aptopt='APT::Install-Recommends "false"' \
  --include=linux-headers-cloud-amd64,dkms,gcc,make,libc6-dev,kmod,file,python3,libpython3-stdlib,lsb-release,xz-utils,zstd,ca-certificates \
  --customize-hook="sh '$out/hook.sh' \"\$1\" '$out'" \
  "$SUITE" - "deb [signed-by=/usr/share/keyrings/debian-archive-keyring.gpg] $MIRROR $SUITE main contrib"
