# shellcheck shell=bash
# packages: checks the machine for the lab in namespaces, and installs missing packages (Debian 12 with its backports).

# shellcheck disable=SC2034 # for missing_packages
PACKAGES=(incus-base incus-client btrfs-progs dnsmasq-base nftables openssh-server openssh-client iproute2 busybox-static procps jq sudo iputils-ping)
POLICY=/usr/sbin/policy-rc.d
SOURCE=/etc/apt/sources.list.d/sigsrv-lab-backports.list

need_kernel() {
  local fs
  for fs in overlay btrfs; do
    grep -qw "$fs" /proc/filesystems || modprobe -q "$fs" 2>/dev/null || fail 3 "this kernel has no $fs" "modprobe $fs"
  done
  [ -e /dev/loop-control ] || modprobe -q loop 2>/dev/null || fail 3 "this machine has no loop devices" "modprobe loop"
  unshare -m -u -i -n -p -C --fork true 2>/dev/null || fail 3 "the lab may not make namespaces on this machine" "run the lab on a real or virtual machine, not in a container"
  claim_state
  [ "$(stat -f -c %T "$STATE")" != overlayfs ] ||
    fail 3 "$STATE is on an overlay filesystem; the /etc of the hosts cannot be there" "SIGSRV_LAB_DIR=/dev/shm/sigsrv-lab $0 up"
}

# Installs incus-base and incus-client only: the package `incus` needs a newer QEMU, and the lab runs only containers.
install_packages() {
  local missing source log=$STATE/apt.log
  # The hosts of another version have these programs in their own root, but the lab itself needs some of them too.
  [ "$INCUS" = 6.0 ] || PACKAGES=("${PACKAGES[@]:2}" mmdebstrap debian-archive-keyring)
  command -v dpkg-query >/dev/null || fail 3 "the lab needs Debian 12 (dpkg is missing)" "run it in a Debian 12 virtual machine"
  mapfile -t missing < <(missing_packages)
  [ ${#missing[@]} -gt 0 ] || return 0
  say "installing ${missing[*]}"
  export DEBIAN_FRONTEND=noninteractive
  apt-get -qq update >"$log" 2>&1 || fail 3 "apt-get update failed: $(tail -1 "$log")" "apt-get update"
  if [ "$INCUS" = 6.0 ] && ! apt-cache show incus-base >/dev/null 2>&1; then
    grep -q '^VERSION_CODENAME=bookworm$' /etc/os-release || fail 3 "no package source has incus-base, and this is not Debian 12" "apt-cache policy incus-base"
    # The key that this machine trusts for its mirror
    source=$(mirror) || exit
    echo "deb [signed-by=/usr/share/keyrings/debian-archive-keyring.gpg] $source bookworm-backports main" >"$SOURCE"
    apt-get -qq update >"$log" 2>&1 || fail 3 "apt-get update failed: $(tail -1 "$log")" "cat $SOURCE; apt-get update"
  fi
  # Installing must start no service: sshd, dnsmasq and incusd must not run on the machine itself.
  if [ ! -e "$POLICY" ]; then
    POLICY_IS_OURS=yes
    printf '#!/bin/sh\nexit 101\n' >"$POLICY"
    chmod 755 "$POLICY"
  fi
  apt-get -qq install -y --no-install-recommends "${missing[@]}" >"$log" 2>&1 ||
    fail 3 "apt-get install failed: $(tail -1 "$log")" "apt-get install --no-install-recommends ${missing[*]}"
  restore_policy
}

restore_policy() {
  [ -z "${POLICY_IS_OURS:-}" ] || rm -f "$POLICY"
  POLICY_IS_OURS=
}
