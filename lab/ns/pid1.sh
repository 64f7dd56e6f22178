#!/bin/bash
# pid1: process 1 of a host. hosts.sh starts it in fresh namespaces. It gives the host its own /proc, /sys, /etc, /root,
# /home, /run and /tmp, writes the file `ready`, and then reaps orphans forever.
# usage: pid1.sh HOST ADDRESSES ROOT  (ADDRESSES: lines for /etc/hosts. ROOT: a folder with another system, below the host's own layer;
# empty: the host has the machine's programs); working directory: the host's state folder
set -euo pipefail
host=$1 addresses=$2 root=$3
apt=$(cd "$(dirname "$0")/../lib/apt" && pwd -P)

# /proc is still that of the machine: this is our pid there, and our start time.
read -r stat </proc/self/stat
pid=${stat%% *}
read -ra fields <<<"${stat##*) }"
echo "$pid ${fields[19]}" >pid1

hostname "$host"
# Paths are relative to the state folder, and mount has -c: the folder stays reachable if a mount hides its parent.
at=   # the folder that becomes the root
if [ -n "$root" ]; then
  at=$PWD/system.all
  mount -t overlay overlay -o "lowerdir=$root,upperdir=system,workdir=system.work" system.all
  mount --rbind /dev "$at/dev"
else
  mount -t overlay overlay -o "lowerdir=/etc,upperdir=etc,workdir=etc.work" /etc
fi
mount -t proc proc "$at/proc"
mount -t sysfs sysfs "$at/sys"   # without securityfs, so incusd loads no AppArmor profile: profiles would outlive the lab

cgroups=$at/sys/fs/cgroup
if [ "$(cat cgroup-layout)" = v2 ]; then
  mount -t cgroup2 cgroup2 "$cgroups"
  # Only a cgroup without processes of its own can delegate controllers. liblxc expects exactly this name.
  mkdir -p "$cgroups/init.scope"
  echo 0 >"$cgroups/init.scope/cgroup.procs"
  controllers=()
  read -ra controllers <"$cgroups/cgroup.controllers" || true   # empty if none was delegated
  for controller in "${controllers[@]}"; do
    echo "+$controller" >"$cgroups/cgroup.subtree_control" || true
  done
else
  mount -t tmpfs -o mode=755 cgroup "$cgroups"
  while IFS=: read -r number controllers _; do
    if [ "$number" = 0 ]; then
      mkdir "$cgroups/unified" && mount -t cgroup2 cgroup2 "$cgroups/unified"
    else
      dir=$cgroups/${controllers#name=}
      mkdir "$dir" && mount -t cgroup -o "$controllers" cgroup "$dir"
    fi
  done </proc/self/cgroup
fi

echo "$host" >"$at/etc/hostname"
printf '127.0.0.1 localhost\n%s\n' "$addresses" >"$at/etc/hosts"
: >"$at/etc/resolv.conf"
printf 'root:1000000:1000000000\n' | tee "$at/etc/subuid" >"$at/etc/subgid"
rm -rf "$at"/etc/ssh/ssh_host_* "$at/etc/ssh/sshd_config.d"
mkdir "$at/etc/ssh/sshd_config.d"
cp sshkeys/* "$at/etc/ssh/"
cp sshd_config "$at/etc/ssh/sshd_config"
# The host has its own package archives too (updates.sh). Their index is so small that it needs no cache.
find "$at/etc/apt" -mindepth 1 -delete
cp -r "$apt/." "$at/etc/apt/"
mount -c --bind apt "$at/var/lib/apt"
mount -c --bind boot "$at/boot"
mkdir -p "$at"/var/lib/{incus,sigsrv-remediate} "$at/var/log/incus" "$at/home"
mount -c --bind incus "$at/var/lib/incus"
mount -c --bind log "$at/var/log/incus"
mount -c --bind root "$at/root"
mount -c --bind home "$at/home"
mount -c --bind sigsrv "$at/var/lib/sigsrv-remediate"   # each host has its own folder of armed fixes
if [ -n "$root" ]; then
  pivot_root "$at" "$at/mnt"
  umount -l /mnt
fi
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
