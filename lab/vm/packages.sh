# shellcheck shell=bash
# vm/packages: checks this machine for the lab in virtual machines, and installs missing packages (Debian 12 or later).

# shellcheck disable=SC2034 # for missing_packages
PACKAGES=(qemu-system-x86 qemu-utils mmdebstrap debian-archive-keyring openssh-client busybox-static procps jq e2fsprogs)
# shellcheck disable=SC2034 # for lab.sh
SUITE=$CODENAME

install_packages() {
  local missing log=$STATE/apt.log
  command -v dpkg-query >/dev/null || fail 3 "the lab needs Debian 12 (dpkg is missing)" "run it on Debian 12"
  [ "$(uname -m)" = x86_64 ] || fail 3 "the virtual machines are x86_64, this machine is $(uname -m)" "run it on another machine"
  mapfile -t missing < <(missing_packages)
  [ ${#missing[@]} -gt 0 ] || return 0
  say "installing ${missing[*]}"
  export DEBIAN_FRONTEND=noninteractive
  apt-get -qq update >"$log" 2>&1 || fail 3 "apt-get update failed: $(tail -1 "$log")" "apt-get update"
  apt-get -qq install -y --no-install-recommends "${missing[@]}" >"$log" 2>&1 ||
    fail 3 "apt-get install failed: $(tail -1 "$log")" "apt-get install --no-install-recommends ${missing[*]}"
}
