# shellcheck shell=bash
# shellcheck source-path=SCRIPTDIR
# ns/lab: starts and removes the lab in namespaces.

# shellcheck source=packages.sh
. "$LAB/ns/packages.sh"
# shellcheck source=root.sh
. "$LAB/ns/root.sh"
# shellcheck source=hosts.sh
. "$LAB/ns/hosts.sh"

need_machine() {
  [ -d "$STATE/sigsrv" ] || ! ip link show "$UPLINK" >/dev/null 2>&1 ||
    fail 3 "the link $UPLINK exists already: a lab with another SIGSRV_LAB_DIR is up in this network namespace" "SIGSRV_LAB_DIR=... $0 down, or: ip link del $UPLINK"
  need_kernel
}

make_ready() { [ "$INCUS" = 6.0 ] || make_root; }

build() {
  local host
  set +m
  make_ready
  ssh-keygen -q -t ed25519 -N '' -C sigsrv-lab -f "$STATE/id"
  build_image "$STATE/busybox.tar.gz"
  for host in "${HOSTS[@]}"; do start_host "$host"; done
  wire_hosts
  for host in "${HOSTS[@]}"; do start_sshd "$host"; start_incusd "$host"; done
  for host in "${HOSTS[@]}"; do wait_ready "$host"; done
  say "$COUNT host(s): sshd and incusd run"
  form_cluster
  ! in_cluster || say "one cluster"
  fill_cluster
  forget_warnings sigsrv
  write_clients
  : >"$STATE/complete"
}

logs_of_the_abort() { grep -hs 'level=error' "$STATE"/*/log/incusd.log | tail -3; }

remove_hosts() {
  kill_hosts
  if [ -d "$STATE/sigsrv" ]; then   # without a host folder, the links and files belong to another lab
    unwire_hosts
    remove_clients
  fi
  wait_for 10 "the release of the pools' loop devices" images_are_free || true
}
