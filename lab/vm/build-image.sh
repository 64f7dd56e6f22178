#!/bin/bash
# build-image: builds the disk that both virtual machines start from, with its kernel, its initramfs and the login key.
# usage: build-image.sh OUT ZFS  (writes OUT/{base.qcow2,vmlinuz,initrd.img,id,id.pub}; ZFS: the folder into which build-zfs.sh writes the
# modules meanwhile); environment: SUITE, MIRROR
set -euo pipefail
here=$(dirname "$(readlink -f "${BASH_SOURCE[0]}")")
out=$1 zfs=$2
root=$out/root
packages=(systemd systemd-sysv dbus udev kmod initramfs-tools zstd linux-image-cloud-amd64 qemu-guest-agent openssh-server sudo iproute2
  nftables dnsmasq-base incus-base incus-client apparmor btrfs-progs zfsutils-linux chrony iputils-ping ca-certificates procps netbase e2fsprogs)
masked=(apt-daily.timer apt-daily-upgrade.timer dpkg-db-backup.timer e2scrub_all.timer e2scrub_reap.service fstrim.timer
  systemd-networkd-wait-online.service getty@tty1.service zfs-volume-wait.service zfs-share.service zfs-import-cache.service
  zfs-import-scan.service zfs-mount.service systemd-udev-settle.service systemd-binfmt.service proc-sys-fs-binfmt_misc.automount
  proc-sys-fs-binfmt_misc.mount systemd-pstore.service systemd-hwdb-update.service ldconfig.service)   # Incus imports its own pools

# Runs a command in a chroot with /proc, in its own mount namespace: nothing stays mounted.
# shellcheck disable=SC2016 # expanded there
inside() { unshare -m sh -c 'mount -t proc proc "$0/proc"; exec chroot "$0" "$@"' "$root" "$@"; }

mkdir -p "$out"
ssh-keygen -q -t ed25519 -N '' -C sigsrv-vm-lab -f "$out/id"
mmdebstrap --quiet --variant=minbase --mode=root --aptopt='APT::Install-Recommends "false"' \
  --dpkgopt='path-exclude=/usr/share/doc/*' --dpkgopt='path-exclude=/usr/share/man/*' --dpkgopt='path-exclude=/usr/share/locale/*' \
  --include="$(IFS=,; echo "${packages[*]}")" \
  "$SUITE" "$root" "deb [signed-by=/usr/share/keyrings/debian-archive-keyring.gpg] $MIRROR $SUITE main contrib"
cp -r --no-preserve=ownership "$here/guest/." "$root/"
cp --no-preserve=ownership "$here/../lib/firewall.nft" "$root/etc/nftables.conf"
find "$root/etc/apt" -mindepth 1 -delete
cp -r --no-preserve=ownership "$here/../lib/apt/." "$root/etc/apt/"
mkdir -p "$root/var/log/journal"

# build-zfs.sh compiles the modules at the same time, on the other processor.
until [ -e "$zfs/kernel" ] || [ -e "$zfs/failed" ]; do sleep 1; done
kernel=$(basename "$(find "$root/lib/modules" -mindepth 1 -maxdepth 1 -name '*cloud-amd64' | sort -V | tail -1)")
[ "$(cat "$zfs/kernel")" = "$kernel" ] || { echo "ZFS was built for $(cat "$zfs/kernel"), the kernel is $kernel" >&2; exit 1; }
mkdir -p "$root/lib/modules/$kernel/updates/dkms"
cp "$zfs"/*.ko* "$root/lib/modules/$kernel/updates/dkms/"
inside depmod "$kernel"

for user in root noaccess audit; do
  home=/root
  if [ "$user" != root ]; then
    inside useradd -m -s /bin/sh "$user"
    home=/home/$user
  fi
  install -d -m 700 "$root$home/.ssh"
  cp "$out/id.pub" "$root$home/.ssh/authorized_keys"
  inside chown -R "$user:" "$home/.ssh"
done
echo '/dev/vda / ext4 rw,noatime 0 1' >"$root/etc/fstab"
: >"$root/etc/machine-id"
: >"$root/etc/resolv.conf"
rm -f "$root"/etc/ssh/ssh_host_*
printf 'root:1000000:1000000000\n' | tee "$root/etc/subuid" >"$root/etc/subgid"
inside systemctl -q enable systemd-networkd ssh lab-identity lab-clock nftables chrony
inside systemctl -q mask "${masked[@]}"
inside update-initramfs -u -k "$kernel" >/dev/null 2>&1
cp "$root/boot/vmlinuz-$kernel" "$out/vmlinuz"
cp "$root/boot/initrd.img-$kernel" "$out/initrd.img"
find "$root/var/cache/apt" "$root/var/lib/apt/lists" -type f -delete
truncate -s 6G "$out/base.raw"
mke2fs -q -t ext4 -O ^metadata_csum_seed -L labroot -d "$root" -F "$out/base.raw"
qemu-img convert -O qcow2 "$out/base.raw" "$out/base.qcow2"
rm -rf --one-file-system "$out/base.raw" "$root"
