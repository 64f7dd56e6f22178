#!/bin/bash
# pid1: what runs as process 1 of a host. Started by hosts.sh in fresh namespaces; it gives the host
# its own /proc, /sys, /etc, /root, /home, /run and /tmp, says that it is ready, and then reaps orphans for ever.
# usage: pid1.sh HOST ADDRESSES  (ADDRESSES: lines for /etc/hosts), working directory: the host's state
set -euo pipefail
host=$1 addresses=$2
apt=$(cd "$(dirname "$0")/../lib/apt" && pwd -P)

# /proc is still the outer one: this is our pid as the machine sees it, and when we started.
read -r stat </proc/self/stat
pid=${stat%% *}
read -ra fields <<<"${stat##*) }"
echo "$pid ${fields[19]}" >pid1

hostname "$host"
mount -t proc proc /proc
mount -t sysfs sysfs /sys   # without securityfs: incusd then loads no AppArmor profile, which would outlive the lab

if [ "$(cat cgroup-layout)" = v2 ]; then
  mount -t cgroup2 cgroup2 /sys/fs/cgroup
  # Controllers can be handed on only by a cgroup without processes of its own; liblxc looks for this very name.
  mkdir -p /sys/fs/cgroup/init.scope
  echo 0 >/sys/fs/cgroup/init.scope/cgroup.procs
  controllers=()
  read -ra controllers </sys/fs/cgroup/cgroup.controllers || true   # empty where none was handed down
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

# Paths relative to the state folder, and -c: it stays reachable when a mount hides the folder above it.
mount -t overlay overlay -o "lowerdir=/etc,upperdir=etc,workdir=etc.work" /etc
echo "$host" >/etc/hostname
printf '127.0.0.1 localhost\n%s\n' "$addresses" >/etc/hosts
: >/etc/resolv.conf
printf 'root:1000000:1000000000\n' | tee /etc/subuid >/etc/subgid
rm -rf /etc/ssh/ssh_host_* /etc/ssh/sshd_config.d
mkdir /etc/ssh/sshd_config.d
cp sshkeys/* /etc/ssh/
cp sshd_config /etc/ssh/sshd_config
# What can be updated is the host's own too (updates.sh); its index is so small that it needs no cache.
find /etc/apt -mindepth 1 -delete
cp -r "$apt/." /etc/apt/
mount -c --bind apt /var/lib/apt
mount -c --bind boot /boot
mkdir -p /var/lib/incus /var/lib/sigsrv /var/log/incus /home
mount -c --bind incus /var/lib/incus
mount -c --bind log /var/log/incus
mount -c --bind root /root
mount -c --bind home /home
mount -c --bind sigsrv /var/lib/sigsrv   # what armed fixes keep is each host's own
# Accounts need `*`: without PAM, sshd refuses an account that is locked (`!`).
usermod -p '*' root
for account in noaccess audit; do
  id -u "$account" >/dev/null 2>&1 || useradd -M -d "/home/$account" -s /bin/sh -p '*' "$account"
  install -d -o "$account" -g "$account" -m 700 "/home/$account" "/home/$account/.ssh"
  install -o "$account" -g "$account" -m 600 root/.ssh/authorized_keys "/home/$account/.ssh/authorized_keys"
done
# No rule of the machine holds on a host: what sudo lets audit do is what is put into /etc/sudoers.d there.
find /etc/sudoers.d -mindepth 1 ! -name README -delete
mount -t tmpfs -o mode=755 tmpfs /run
mkdir -p /run/sshd /run/lock /run/incus
ip link set lo up
echo 1 >/proc/sys/net/ipv4/ip_forward
: >ready
cd /
mount -t tmpfs -o mode=1777 tmpfs /tmp

# bash reaps whatever the host's daemons leave behind
while :; do sleep 3600 & wait $! || true; done
