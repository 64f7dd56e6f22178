# shellcheck shell=bash
# shellcheck disable=SC2154 # host and addresses are those of pid1.sh
# nixos/root: gives a host the shape of NixOS, from the programs that this machine has. pid1.sh sources it last, when the host has its own
# /proc, /sys, /etc, /run and so on, in the state folder of the host. Afterwards:
# - /usr/bin has only env, and /bin only sh, which is bash. Programs are links in /run/current-system/sw/bin to a read-only store.
# - Nothing in the store is setuid. Copies that are setuid (sudo, su, mount, umount) are in /run/wrappers/bin only.
# - /etc has links into the store, for sshd_config, sudo's PAM files and /etc/systemd/system too. There is no apt and no dpkg.
# Not as on NixOS: /usr/lib, /usr/libexec and /usr/share are links into the store, because Debian's programs look there; all programs are in one
# store path; there is no systemd.

new=/mnt
store=/nix/store
files=nixos   # in the state folder

# path_of NAME: prints a store path of the form that Nix writes
path_of() { printf '%s/%.32s-%s\n' "$store" "$(printf %s "$1" | sha256sum | tr e x)" "$1"; }

make_store() {
  local sw name
  debian=$(path_of debian)
  system=$(path_of "nixos-system-$host-$(cat "$files/label")")
  sw=$(path_of system-path)
  sudo=$(path_of sudo)
  etc=$(path_of etc)/etc
  incus=$(path_of "incus-$(incus --version)")
  mkdir -p "$new$incus/bin"
  : >"$new$incus/bin/incus"
  mkdir -p "$new$debian" "$new$system" "$new$sw/bin" "$new$sudo/bin" "$new$etc"
  find /usr/bin /usr/sbin -mindepth 1 -maxdepth 1 -printf '%P\n' | grep -Evx '((apt|dpkg|deb|update-)[a-z-]*|X11)' | sort -u | while read -r name; do
    if [ -e "/usr/bin/$name" ] || [ -L "/usr/bin/$name" ]; then echo "$debian/bin/$name"; else echo "$debian/sbin/$name"; fi
  done | xargs -d '\n' ln -s -t "$new$sw/bin"
  # Links with a whole path, such as those of Debian's alternatives, lead to nothing in the new root.
  find /usr/bin /usr/sbin -lname '/*' | while read -r name; do
    ln -sfn "$debian$(readlink -f "$name" | sed 's|^/usr||')" "$new$sw/bin/${name##*/}"
  done
  ln -sfn "$debian/bin/bash" "$new$sw/bin/sh"
  cp /usr/bin/sudo "$new$sudo/bin/sudo"
  chmod 555 "$new$sudo/bin/sudo"
  ln -sfn "$sudo/bin/sudo" "$new$sw/bin/sudo"
  ln -sfn "$incus/bin/incus" "$new$sw/bin/incus"
  cp "$files/nixos-version" "$new$sw/bin/"
  cp "$files/label" "$new$system/nixos-version"
  ln -s "$sw" "$new$system/sw"
  ln -s "$etc" "$new$system/etc"
  for name in kernel initrd kernel-modules; do
    mkdir -p "$new$(path_of "lab-$name")"
    ln -s "$(path_of "lab-$name")" "$new$system/$name"
  done
  mkdir -p "$new/nix/var/nix/profiles"
  ln -s "$system" "$new/nix/var/nix/profiles/system-42-link"
  ln -s system-42-link "$new/nix/var/nix/profiles/system"
}

make_etc() {
  local each
  mkdir -p "$new$etc/ssh" "$new$etc/systemd/system" "$new/etc/ssh" "$new/etc/systemd"
  for each in ca-certificates.conf default host.conf iproute2 ld.so.conf ld.so.conf.d login.defs nsswitch.conf pam.conf pam.d protocols \
    security services ssl; do
    [ ! -e "/etc/$each" ] || cp -a "/etc/$each" "$new$etc/"
  done
  printf '127.0.0.1 localhost\n%s\n' "$addresses" >"$new$etc/hosts"
  echo "$host" >"$new$etc/hostname"
  cp "$files/sshd_config" "$new$etc/ssh/sshd_config"
  write_os_release >"$new$etc/os-release"
  printf '[Service]\nExecStart=/usr/libexec/incus/incusd --group incus-admin\n' >"$new$etc/systemd/system/incus.service"
  ln -s "$etc" "$new/etc/static"
  for each in "$new$etc"/*; do
    each=${each##*/}
    case $each in ssh | systemd) ;; *) ln -s "/etc/static/$each" "$new/etc/$each" ;; esac
  done
  ln -s /etc/static/ssh/sshd_config "$new/etc/ssh/sshd_config"
  ln -s /etc/static/systemd/system "$new/etc/systemd/system"
  # NixOS copies these, because programs change them or want no links.
  cp -a /etc/passwd /etc/group /etc/shadow /etc/gshadow /etc/subuid /etc/subgid /etc/ld.so.cache /etc/resolv.conf "$new/etc/"
  sed -i -E '/^(root|audit|noaccess):/s|:[^:]*$|:/run/current-system/sw/bin/bash|' "$new/etc/passwd"
  cp -a /etc/ssh/ssh_host_* "$new/etc/ssh/"
  printf 'root ALL=(ALL:ALL) SETENV: ALL\n%%wheel ALL=(ALL:ALL) SETENV: ALL\n' >"$new/etc/sudoers"
  chmod 440 "$new/etc/sudoers"
  : >"$new/etc/NIXOS"
  ln -s /proc/mounts "$new/etc/mtab"
}

write_os_release() {
  local label release
  label=$(cat "$files/label")
  release=${label%".${label#*.*.}"}
  cat <<R
ANSI_COLOR="0;38;2;126;186;228"
BUILD_ID="$label"
ID=nixos
ID_LIKE=""
NAME=NixOS
PRETTY_NAME="NixOS $release (Lab)"
VERSION="$release (Lab)"
VERSION_CODENAME=lab
VERSION_ID="$release"
R
}

make_root() {
  local each
  mount -c --bind "$files/root" "$new"
  mkdir -p "$new"/{bin,dev,etc,home,nix/store,proc,root,run,sys,tmp,usr/bin,old} "$new"/var/{cache,empty,lib/incus,lib/sigsrv-remediate,log/incus,tmp}
  chmod 700 "$new/root"
  make_store
  make_etc
  ln -s "$debian/bin/env" "$new/usr/bin/env"
  ln -s "$debian/bin/bash" "$new/bin/sh"
  for each in libexec share; do ln -s "$debian/$each" "$new/usr/$each"; done
  mkdir "$new/usr/lib"   # no link: liblxc refuses links on the way to its mount point
  for each in /lib*; do ln -s "$debian$each" "$new$each"; done
  mkdir -p /run/wrappers/bin
  for each in sudo su mount umount; do install -m 4755 "/usr/bin/$each" "/run/wrappers/bin/$each"; done
  ln -s "$system" /run/current-system
  ln -s "$system" /run/booted-system
  mount --bind "$new$store" "$new$store"
  mount -o remount,bind,ro "$new$store"
  mount --bind /usr "$new$debian"
  mount -o remount,bind,ro,nosuid "$new$debian"
  mount --bind "$new$debian/bin/incus" "$new$incus/bin/incus"
  mount --bind "$new$debian/lib" "$new/usr/lib"
  # The hooks of lxcfs, which does not run here, expect programs in /usr/bin.
  : >"$files/empty"
  find "$new$debian/share/lxc/config/common.conf.d" -name '*lxcfs.conf' -exec mount -c --bind "$files/empty" {} \;
  for each in dev home proc root run sys var/lib/incus var/lib/sigsrv-remediate var/log/incus; do mount --rbind "/$each" "$new/$each"; done
}

make_root
pivot_root "$new" "$new/old"
export PATH=/run/wrappers/bin:/run/current-system/sw/bin
umount -l /old
rmdir /old
