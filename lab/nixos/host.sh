# shellcheck shell=bash
# nixos/host: one host of the lab in namespaces can have the shape of NixOS. `lab --nixos=HOST up` chooses it.
# The folder `nixos` among the files of a host says that it is that host; root.sh makes its root.

is_nixos() { [ -d "$STATE/$1/nixos" ]; } # HOST

prepare_nixos() { # HOST: writes what root.sh needs. Its working directory is the state folder of the host.
  local dir=$STATE/$1/nixos
  mkdir -p "$dir/root"
  cp "$LAB/nixos/nixos-version" "$dir/"
  nixos_label >"$dir/label"
  # No Include: NixOS writes the whole file. Without PAM, sshd itself must set the path of programs.
  sed '/^Include/d' "$STATE/$1/sshd_config" >"$dir/sshd_config"
  echo 'SetEnv PATH=/run/wrappers/bin:/run/current-system/sw/bin' >>"$dir/sshd_config"
}

# Prints a version of the development branch, from yesterday. A release would reach the end of its life, and the lab would change.
nixos_label() {
  local year month
  read -r year month < <(date -u '+%y %-m')
  if [ "$month" -lt 5 ]; then month=05; elif [ "$month" -lt 11 ]; then month=11; else year=$((10#$year + 1)) month=05; fi
  printf '%02d.%s.%s.20755fa\n' "$((10#$year))" "$month" "$(date -u -d yesterday +%Y%m%d)"
}

rules_of() { if is_nixos "$1"; then echo "$LAB/nixos/firewall.nft"; else echo "$LAB/lib/firewall.nft"; fi; } # HOST
