# shellcheck shell=bash
# hosts: starts and removes the two hosts: their namespaces, cgroups and links.

# Prints the host's cgroup directories, one a line. They are below the caller's own, so limits of the caller also apply to the lab.
# With cgroup v2 only if that cgroup delegates controllers (a login session does not), else at the top.
plan_cgroups() { # HOST
  local number controllers own top
  while IFS=: read -r number controllers own; do
    own=${own%/}
    if [ "$number" != 0 ]; then
      top=/sys/fs/cgroup/${controllers#name=}
    elif [ -d /sys/fs/cgroup/unified ]; then
      top=/sys/fs/cgroup/unified
    else
      top=/sys/fs/cgroup
      grep -qsw memory "$top$own/cgroup.subtree_control" || own=
    fi
    [ ! -d "$top$own" ] || echo "$top$own/$NAME-$1"
  done </proc/self/cgroup
}

join_cgroups() { # HOST: makes its cgroups and moves the calling (sub)shell there
  local dir
  while read -r dir; do
    mkdir -p "$dir"
    if [ -e "$dir/cpuset.cpus" ] && [ -e "$dir/cgroup.clone_children" ]; then   # v1: a new cpuset is empty, and unusable until it is filled
      cat "$dir/../cpuset.cpus" >"$dir/cpuset.cpus"
      cat "$dir/../cpuset.mems" >"$dir/cpuset.mems"
      echo 1 >"$dir/cgroup.clone_children"
    fi
    echo "$BASHPID" >"$dir/cgroup.procs"
  done <"$STATE/$1/cgroups"
}

start_host() { # HOST
  local host=$1 dir=$STATE/$1 addresses root=
  [ "$INCUS" = 6.0 ] || root=$(root_folder)
  mkdir -p "$dir"/{etc,etc.work,home,incus,log,root/.ssh,sigsrv,sshkeys,system,system.work,system.all}
  chmod 700 "$dir/root" "$dir/root/.ssh"
  chmod 711 "$dir/incus"
  cp "$STATE/id.pub" "$dir/root/.ssh/authorized_keys"
  ssh-keygen -q -t ed25519 -N '' -C "$host" -f "$dir/sshkeys/ssh_host_ed25519_key"
  cat >"$dir/sshd_config" <<C
Include /etc/ssh/sshd_config.d/*.conf
ListenAddress ${ADDRESS[$host]}
HostKey /etc/ssh/ssh_host_ed25519_key
PidFile /run/sshd.pid
LogLevel VERBOSE
UsePAM no
UseDNS no
PasswordAuthentication no
KbdInteractiveAuthentication no
PermitRootLogin prohibit-password
MaxStartups 500:30:1000
MaxSessions 100
PrintMotd no
PrintLastLog no
Subsystem sftp internal-sftp
C
  # A sshd since 9.8 refuses a client for a while after failed logins. The tests fail to log in on purpose.
  [ "$INCUS" = 6.0 ] || echo 'PerSourcePenalties no' >>"$dir/sshd_config"
  [ "$host" != "${NIXOS:-}" ] || prepare_nixos "$host"
  write_updates "$host"
  if [ "$(stat -f -c %T /sys/fs/cgroup)" = cgroup2fs ]; then echo v2; else echo v1; fi >"$dir/cgroup-layout"
  plan_cgroups "$host" >"$dir/cgroups"
  addresses=$(for h in "${HOSTS[@]}"; do echo "${ADDRESS[$h]} $h"; done)
  (
    cd "$dir" || exit
    let_go
    exec </dev/null >pid1.log 2>&1
    join_cgroups "$host"
    exec setsid env -i HOME=/root LANG=C.UTF-8 PATH=/usr/sbin:/usr/bin:/sbin:/bin \
      unshare -m -u -i -n -p -C --fork --kill-child --propagation private bash "$LAB/ns/pid1.sh" "$host" "$addresses" "$root"
  ) &
  wait_for 15 "pid 1 of $host" started_or_dead "$host" $!
  [ -e "$dir/ready" ] || { cat "$dir/pid1.log" >&2; return 1; }
}

started_or_dead() { [ -e "$STATE/$1/ready" ] || ! kill -0 "$2"; }

# Connects the trunk of each host to one bridge outside, and the hosts to each other with links for each VLAN.
wire_hosts() {
  local host trunk mtu=1500
  has_pairs || mtu=1550   # a VXLAN adds 50 bytes to each frame
  ip link add "$UPLINK" type bridge mcast_snooping 0
  ip addr add "$SUBNET.254/24" dev "$UPLINK"
  ip link set "$UPLINK" up
  for host in "${HOSTS[@]}"; do
    trunk=$(trunk_of "$host")
    ip link add "siglab-$host" mtu "$mtu" type veth peer name "$trunk" mtu "$mtu" netns "$(host_pid "$host")"
    ip link set "siglab-$host" master "$UPLINK" up
    on "$host" ip addr add "${ADDRESS[$host]}/24" dev "$trunk"
    on "$host" ip link set "$trunk" up
  done
  for host in "${HOSTS[@]}"; do filter_input "$host"; done
  if has_pairs; then make_pairs; else make_vxlans; fi
}

make_pairs() {
  local host line port
  for line in "${BRIDGES[@]}"; do
    read -r _ _ port _ <<<"$line"
    ip link add "$port" netns "$(host_pid sigsrv)" type veth peer name "$port" netns "$(host_pid minisrv)"
    for host in "${HOSTS[@]}"; do use_as_port "$host" "$port"; done
  done
}

make_vxlans() {
  local host line bridge id port
  for line in "${BRIDGES[@]}"; do
    read -r bridge _ _ id <<<"$line"
    for host in "${HOSTS[@]}"; do
      port=$(port_of "$host" "$bridge")
      [ -n "$port" ] || continue
      on "$host" ip link add "$port" mtu 1500 type vxlan id "$id" dev "$(trunk_of "$host")" group "239.0.0.$id" dstport 4789
      use_as_port "$host" "$port"
    done
  done
}

# No address at all, like a VLAN interface that is only a bridge port
use_as_port() { on "$1" sh -c "echo 1 >/proc/sys/net/ipv6/conf/$2/disable_ipv6; ip link set $2 up"; } # HOST LINK

# The lab started everything that runs in its cgroups. Kills each pid 1 first, then processes that an interrupted start
# may have left outside of a pid namespace.
kill_hosts() {
  local host pid dir
  for host in "${HOSTS[@]}"; do
    if pid=$(host_pid "$host"); then kill -KILL "$pid" 2>/dev/null || true; fi
  done
  for host in "${HOSTS[@]}"; do
    [ -f "$STATE/$host/cgroups" ] || continue
    wait_for 10 "the end of the processes of $host" cgroups_are_empty "$host" || true
    while read -r dir; do
      case $dir in */"$NAME-$host") ;; *) continue ;; esac
      for _ in {1..50}; do
        [ -d "$dir" ] || break
        find "$dir" -depth -type d -exec rmdir {} + 2>/dev/null || sleep 0.1
      done
      [ ! -d "$dir" ] || echo "$PROGRAM: error: can't remove $dir" >&2
    done <"$STATE/$host/cgroups"
  done
}

cgroups_are_empty() {
  local dir pids
  while read -r dir; do
    case $dir in */"$NAME-$1") ;; *) continue ;; esac
    [ -d "$dir" ] || continue
    pids=$(find "$dir" -name cgroup.procs -exec cat {} + | grep -vx 0 || true)   # 0: a process that is not visible from here; kill would take 0 for ourselves
    # shellcheck disable=SC2086 # a list of numbers
    [ -z "$pids" ] || { kill -KILL $pids; return 1; }
  done <"$STATE/$1/cgroups"
}

unwire_hosts() {
  local host
  for host in "${HOSTS[@]}"; do ip link del "siglab-$host" 2>/dev/null || true; done
  ip link del "$UPLINK" 2>/dev/null || true
}

# The kernel releases the pool's image a moment after the last mount namespace is gone.
images_are_free() { ! losetup -n -O BACK-FILE | grep -qF "$STATE/"; }
