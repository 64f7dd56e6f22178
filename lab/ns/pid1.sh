#!/bin/bash
# pid1: process 1 of a host. hosts.sh starts it in fresh namespaces. It gives the host its own /proc, /sys, /etc, /root,
# /home, /run and /tmp, writes the file `ready`, and then reaps orphans forever.
# usage: pid1.sh HOST ADDRESSES  (ADDRESSES: lines for /etc/hosts); working directory: the host's state folder
set -euo pipefail
host=$1 addresses=$2
apt=$(cd "$(dirname "$0")/../lib/apt" && pwd -P)

# /proc is still that of the machine: this is our pid there, and our start time.
read -r stat </proc/self/stat
pid=${stat%% *}
read -ra fields <<<"${stat##*) }"
echo "$pid ${fields[19]}" >pid1

hostname "$host"
mount -t proc proc /proc
mount -t sysfs sysfs /sys   # without securityfs, so incusd loads no AppArmor profile: profiles would outlive the lab

if [ "$(cat cgroup-layout)" = v2 ]; then
  mount -t cgroup2 cgroup2 /sys/fs/cgroup
  # Only a cgroup without processes of its own can delegate controllers. liblxc expects exactly this name.
  mkdir -p /sys/fs/cgroup/init.scope
  echo 0 >/sys/fs/cgroup/init.scope/cgroup.procs
  controllers=()
  read -ra controllers </sys/fs/cgroup/cgroup.controllers || true   # empty if none was delegated
  for controller in "${controllers[@]}"; do
    echo "+$controller" >/sys/fs/cgroup/cgroup.subtree_control || true
  done
else
  mount -t tmpfs -o mode=755 cgroup /sys/fs/cgroup
  while IFS=: read -r number controllers _; do
    if [ "$number" = 0 ]; then
      mkdir /sys/fs/cgroup/unified && mount -t cgroup2 cgroup2 /sys/fs/cgroup/unified
    else
      dir=/sys/fs/cgroup/${controllers#name=}
      mkdir "$dir" && mount -t cgroup -o "$controllers" cgroup "$dir"
    fi
  done </proc/self/cgroup
fi

# Paths are relative to the state folder, and mount has -c: the folder stays reachable if a mount hides its parent.
mount -t overlay overlay -o "lowerdir=/etc,upperdir=etc,workdir=etc.work" /etc
echo "$host" >/etc/hostname
printf '127.0.0.1 localhost\n%s\n' "$addresses" >/etc/hosts
: >/etc/resolv.conf
printf 'root:1000000:1000000000\n' | tee /etc/subuid >/etc/subgid
rm -rf /etc/ssh/ssh_host_* /etc/ssh/sshd_config.d
mkdir /etc/ssh/sshd_config.d
cp sshkeys/* /etc/ssh/
cp sshd_config /etc/ssh/sshd_config
# The host has its own package archives too (updates.sh). Their index is so small that it needs no cache.
find /etc/apt -mindepth 1 -delete
cp -r "$apt/." /etc/apt/
mount -c --bind apt /var/lib/apt
mount -c --bind boot /boot
mkdir -p /var/lib/incus /var/lib/sigsrv-remediate /var/log/incus /home
mount -c --bind incus /var/lib/incus
mount -c --bind log /var/log/incus
mount -c --bind root /root
mount -c --bind home /home
mount -c --bind sigsrv /var/lib/sigsrv-remediate   # each host has its own folder of armed fixes
# The password field must be `*`: without PAM, sshd refuses a locked account (`!`).
usermod -p '*' root
for account in noaccess audit; do
  id -u "$account" >/dev/null 2>&1 || useradd -M -d "/home/$account" -s /bin/sh -p '*' "$account"
  install -d -o "$account" -g "$account" -m 700 "/home/$account" "/home/$account/.ssh"
  install -o "$account" -g "$account" -m 600 root/.ssh/authorized_keys "/home/$account/.ssh/authorized_keys"
done
# The machine's sudo rules do not apply on a host: audit may run only what /etc/sudoers.d of that host allows.
find /etc/sudoers.d -mindepth 1 ! -name README -delete
mount -t tmpfs -o mode=755 tmpfs /run
mkdir -p /run/sshd /run/lock /run/incus
ip link set lo up
echo 1 >/proc/sys/net/ipv4/ip_forward
# shellcheck source=/dev/null
[ ! -d nixos ] || . "$apt/../../nixos/root.sh"
: >ready
cd /
mount -t tmpfs -o mode=1777 tmpfs /tmp

# bash reaps all processes that the host's daemons leave behind
while :; do sleep 3600 & wait $! || true; done
