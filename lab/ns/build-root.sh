#!/bin/bash
# build-root: builds a root of Debian 13 with Incus 7.0 from its backports, for hosts in namespaces.
# usage: build-root.sh OUT MIRROR
set -euo pipefail
out=$1 mirror=$2
key=/usr/share/keyrings/debian-archive-keyring.gpg
programs=(btrfs-progs dnsmasq-base nftables openssh-server openssh-client iproute2 procps jq sudo iputils-ping ca-certificates netbase kmod e2fsprogs)
mmdebstrap --quiet --variant=minbase --mode=root --aptopt='APT::Install-Recommends "false"' \
  --dpkgopt='path-exclude=/usr/share/doc/*' --dpkgopt='path-exclude=/usr/share/man/*' --dpkgopt='path-exclude=/usr/share/locale/*' \
  --include="$(IFS=,; echo "${programs[*]}"),incus-base/trixie-backports,incus-client/trixie-backports" \
  trixie "$out" "deb [signed-by=$key] $mirror trixie main" "deb [signed-by=$key] $mirror trixie-backports main"
version=$(chroot "$out" dpkg-query -W incus-base | cut -f 2)
case $version in
  7.0.*) ;;
  *) echo "E: trixie-backports has Incus $version, the lab is for 7.0" >&2; exit 1 ;;
esac
find "$out/var/cache/apt" "$out/var/lib/apt/lists" -type f -delete
