# shellcheck shell=bash
# contents: makes the cluster and its contents. They are compliant on purpose, so each fault stands out.

PROJECT_KEYS=(-c features.images=false -c restricted=true -c restricted.networks.access=userbr0
  -c limits.instances=5 -c limits.cpu=8 -c limits.memory=1GiB -c limits.processes=2000)

# All changes go to sigsrv; the daemons notify each other. No stdin: several incus commands would read it.
ask() { on sigsrv incus -q "$@" </dev/null; }
ask_with() { on sigsrv incus -q "$@"; }   # the same, with a document on stdin

# at HOST: sets AT to the option that names a member; a server in no cluster refuses it
at() { AT=(); ! in_cluster || AT=(--target "$1"); }

form_cluster() {
  local host token
  {
    echo "config: $(server_config sigsrv)"
    ! in_cluster || echo 'cluster: {server_name: sigsrv, enabled: true}'
  } | on sigsrv incus admin init --preseed
  ask config set core.remote_token_expiry=15M images.auto_update_interval=0
  for host in "${HOSTS[@]:1}"; do
    token=$(ask cluster add "$host" | tail -1)
    on "$host" incus config set "core.https_address=${LISTEN[$host]}" </dev/null   # otherwise joining sets it to the cluster's address
    on "$host" incus admin init --preseed <<Y
cluster: {enabled: true, server_name: $host, server_address: "$(member_address "$host")", cluster_token: "$token"}
Y
  done
}

fill_cluster() {
  local host jobs=()
  create_pools
  say "pools nvme, hdd, iso"
  create_acls
  create_networks
  say "networks sigsrvbr0, incusbr0, userbr0 with their ACLs"
  import_image
  create_projects
  say "projects restricted, user-alice, user-bob; profiles"
  for host in "${HOSTS[@]}"; do launch_instances "$host" & jobs+=($!); done
  for host in "${jobs[@]}"; do wait "$host"; done
  ! in_cluster || for host in "${HOSTS[@]}"; do wait_for 30 "all members Online on $host" sees_all_online "$host"; done
  wait_for 30 "a lease for each running instance" all_have_leases
}

create_pools() {
  local line name driver options host
  for line in "${POOL_OPTIONS[@]}"; do
    read -r name driver options <<<"$line"
    read -ra options <<<"$options"
    if in_cluster; then
      for host in "${HOSTS[@]}"; do ask storage create "$name" "$driver" "${options[@]}" --target "$host"; done
      options=()
    fi
    ask storage create "$name" "$driver" "${options[@]}"
  done
  ask storage set iso rsync.bwlimit=50MB
}

create_acls() {
  ask_with network acl create system-base <<'Y'
description: system services answer the management network and reach the web and the time
ingress:
  - {action: allow, state: enabled, source: 172.16.0.0/16, protocol: tcp, destination_port: "22,443"}
  - {action: allow, state: enabled, source: 172.20.0.0/16, protocol: icmp4}
egress:
  - {action: allow, state: enabled, protocol: tcp, destination_port: "80,443"}
  - {action: allow, state: enabled, protocol: udp, destination_port: "123"}
Y
  ask_with network acl create mgmt-base <<'Y'
description: management reaches the system services
ingress:
  - {action: allow, state: enabled, source: 172.16.0.0/16, protocol: tcp, destination_port: "22,8443"}
  - {action: allow, state: enabled, source: 172.16.0.0/16, protocol: icmp4}
egress:
  - {action: allow, state: enabled, destination: 172.20.0.0/16, protocol: tcp, destination_port: "22,443"}
Y
  ask_with network acl create user-isolate <<'Y'
description: users reach the world but neither management nor system services nor each other
ingress:
  - {action: allow, state: logged, source: 172.16.0.0/16, protocol: tcp, destination_port: "22,80"}
egress:
  - {action: reject, state: enabled, destination: 172.16.0.0/16}
  - {action: reject, state: enabled, destination: 172.20.0.0/16}
  - {action: reject, state: enabled, destination: "172.24.0.0/16,fe80::/10"}
Y
}

create_networks() {
  local line bridge address host port options
  declare -A acls=(
    [sigsrvbr0]="security.acls=system-base"
    [incusbr0]="security.acls=mgmt-base"
    [userbr0]="security.acls=user-isolate security.acls.default.egress.action=allow security.acls.default.ingress.action=reject")
  for line in "${BRIDGES[@]}"; do
    read -r bridge address _ <<<"$line"
    read -ra options <<<"${acls[$bridge]}"
    if in_cluster; then
      for host in "${HOSTS[@]}"; do
        port=$(port_of "$host" "$bridge")
        ask network create "$bridge" --type=bridge --target "$host" ${port:+"bridge.external_interfaces=$port"}
      done
    else
      options+=("bridge.external_interfaces=$(port_of sigsrv "$bridge")")
    fi
    ask network create "$bridge" --type=bridge "ipv4.address=$address" ipv4.nat=true ipv6.address=none "${options[@]}"
  done
}

create_projects() {
  local project keys=("${PROJECT_KEYS[@]}")
  [ "$INCUS" = 6.0 ] || keys+=(-c "restricted.storage-pools.access=hdd,nvme")   # 6.0.4 does not know it
  ask_with profile edit default <<'Y'
description: instances of the management network
config: {limits.cpu: "1", limits.memory: 128MiB, limits.processes: "200"}
devices:
  root: {type: disk, path: /, pool: nvme}
  eth0: {type: nic, name: eth0, network: incusbr0}
Y
  ask_with profile create svc <<'Y'
description: system services
config: {limits.cpu: "1", limits.memory: 128MiB, limits.processes: "200"}
devices:
  root: {type: disk, path: /, pool: hdd}
  eth0: {type: nic, name: eth0, network: sigsrvbr0}
Y
  for project in restricted user-alice user-bob; do
    ask project create "$project" "${keys[@]}"
    [ "$project" != user-bob ] || continue   # stays empty, profile included: features can change only in an empty project
    ask_with profile edit default --project "$project" <<'Y'
description: instances of users
config: {limits.cpu: "1", limits.memory: 128MiB, limits.processes: "200", security.idmap.isolated: "true", security.guestapi: "false"}
devices:
  root: {type: disk, path: /, pool: hdd}
  eth0: {type: nic, name: eth0, network: userbr0, security.mac_filtering: "true"}
Y
  done
}

import_image() {
  on sigsrv sh -c 'cat >/run/busybox.tar.gz' <"$STATE/busybox.tar.gz"
  ask image import /run/busybox.tar.gz --alias busybox
  on sigsrv rm /run/busybox.tar.gz </dev/null
}

launch_instances() { # HOST
  local launch=launch AT
  can_run_instances || launch=create
  at "$1"
  case $1 in
    sigsrv)
      ask "$launch" busybox svc-a "${AT[@]}" -p svc
      ask "$launch" busybox capped "${AT[@]}" -c limits.cpu=1 -c limits.memory=64MiB -c limits.processes=100
      ask create busybox stopped-a "${AT[@]}"
      ask "$launch" busybox tenant2 "${AT[@]}" --project restricted
      keep_data
      ;;
    minisrv)
      ask "$launch" busybox svc-b "${AT[@]}" -p svc
      ask "$launch" busybox web "${AT[@]}"
      ask config device add web http proxy listen=tcp:127.0.0.1:8080 connect=tcp:127.0.0.1:80
      ask create busybox stopped-b "${AT[@]}"
      ask "$launch" busybox tenant1 "${AT[@]}" --project restricted
      ask "$launch" busybox alice1 "${AT[@]}" --project user-alice
      ask storage volume create hdd alice-home "${AT[@]}" --project user-alice size=10MiB
      ask storage volume attach hdd alice-home alice1 alice-home /home --project user-alice
      ;;
    twinsrv)
      ask "$launch" busybox svc-c "${AT[@]}" -p svc
      ask create busybox stopped-c "${AT[@]}" -p svc
      ask "$launch" busybox tenant3 "${AT[@]}" --project restricted
      ;;
  esac
}

count_instances() {
  local states
  states=$(ask list --all-projects -f csv -c s)
  echo "$(grep -c RUNNING <<<"$states" || true) containers run, $(grep -c STOPPED <<<"$states" || true) are stopped"
}

# For the critical instance and the protected volume of the site: a snapshot schedule, one snapshot and one backup each.
keep_data() {
  local schedule=(snapshots.schedule=@daily snapshots.expiry=2w)
  ask config set svc-a boot.autostart=true security.protection.delete=true "${schedule[@]}"
  ask storage volume create nvme data "${AT[@]}" size=20MiB "${schedule[@]}"
  ask storage volume attach nvme data capped data /srv
  ask snapshot create svc-a first --no-expiry
  ask storage volume snapshot create nvme data first --no-expiry
  on sigsrv mkdir -m 700 "$BACKUPS" </dev/null
  back_up
}

back_up() {
  on sigsrv find "$BACKUPS" -type f -delete </dev/null
  ask export svc-a "$BACKUPS/svc-a-lab.tar.gz"
  ask storage volume export nvme data "$BACKUPS/data-lab.tar.gz"
}

# Every running instance has its lease: nothing changes any more after `up` ends.
all_have_leases() {
  ! ask list --all-projects -f csv -c s4n | grep -v '^STOPPED,' | grep -qv '^RUNNING,172\.'
}
