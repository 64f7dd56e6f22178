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
  local host=$1 dir=$STATE/$1 addresses
  mkdir -p "$dir"/{etc,etc.work,home,incus,log,root/.ssh,sigsrv,sshkeys}
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
      unshare -m -u -i -n -p -C --fork --kill-child --propagation private bash "$LAB/ns/pid1.sh" "$host" "$addresses"
  ) &
  wait_for 15 "pid 1 of $host" started_or_dead "$host" $!
  [ -e "$dir/ready" ] || { cat "$dir/pid1.log" >&2; return 1; }
}

started_or_dead() { [ -e "$STATE/$1/ready" ] || ! kill -0 "$2"; }

# Connects eth0 of each host to one bridge outside, and the two hosts to each other with a veth pair for each VLAN.
wire_hosts() {
  local host line port
  ip link add "$UPLINK" type bridge
  ip addr add "$SUBNET.254/24" dev "$UPLINK"
  ip link set "$UPLINK" up
  for host in "${HOSTS[@]}"; do
    ip link add "siglab-$host" type veth peer name eth0 netns "$(host_pid "$host")"
    ip link set "siglab-$host" master "$UPLINK" up
    on "$host" ip addr add "${ADDRESS[$host]}/24" dev eth0
    on "$host" ip link set eth0 up
  done
  for host in "${HOSTS[@]}"; do filter_input "$host"; done
  for line in "${BRIDGES[@]}"; do
    read -r _ _ port <<<"$line"
    ip link add "$port" netns "$(host_pid sigsrv)" type veth peer name "$port" netns "$(host_pid minisrv)"
    for host in "${HOSTS[@]}"; do
      # No address at all, like a VLAN interface that is only a bridge port
      on "$host" sh -c "echo 1 >/proc/sys/net/ipv6/conf/$port/disable_ipv6; ip link set $port up"
    done
  done
}

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
