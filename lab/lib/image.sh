# shellcheck shell=bash
# image: builds a container image from one static busybox. Its init brings the interfaces up and serves port 80.

build_image() { # FILE
  local tree=$STATE/image
  mkdir -p "$tree"/rootfs/{bin,sbin,etc,proc,sys,dev,tmp,run,root,mnt,usr/bin,usr/sbin,var,www}
  cp "$(command -v busybox)" "$tree/rootfs/bin/busybox"
  ln -s busybox "$tree/rootfs/bin/sh"
  cat >"$tree/rootfs/sbin/init" <<'I'
#!/bin/busybox sh
export PATH=/bin:/sbin
trap 'exit 0' PWR TERM INT
/bin/busybox --install -s /bin
ip link set lo up
echo ok >/www/index.html
httpd -p 80 -h /www
for nic in /sys/class/net/*; do
  nic=${nic##*/}
  [ "$nic" != lo ] || continue
  ip link set "$nic" up
  udhcpc -b -S -t 20 -T 1 -i "$nic" -s /etc/lease >/dev/null 2>&1 &
done
while :; do sleep 3600 & wait $!; done
I
  cat >"$tree/rootfs/etc/lease" <<'I'
#!/bin/busybox sh
case $1 in bound|renew) ;; *) exit 0 ;; esac
ip addr flush dev "$interface"
ip addr add "$ip/$mask" dev "$interface"
[ -z "$router" ] || ip route replace default via "${router%% *}"
I
  chmod 755 "$tree/rootfs/sbin/init" "$tree/rootfs/etc/lease"
  echo 'root:x:0:0:root:/root:/bin/sh' >"$tree/rootfs/etc/passwd"
  echo 'root:x:0:' >"$tree/rootfs/etc/group"
  cat >"$tree/metadata.yaml" <<I
architecture: $(uname -m)
creation_date: $(date +%s)
properties: {description: busybox of the lab, os: busybox, release: lab, architecture: $(uname -m)}
I
  tar -C "$tree" --numeric-owner --owner=0 --group=0 -cf - metadata.yaml rootfs | gzip -1 >"$1"
  rm -rf "$tree"
}
