# shellcheck shell=bash
# shellcheck source-path=SCRIPTDIR
# vm/machines: starts, saves and stops the virtual machines.

# shellcheck source=disks.sh
. "$LAB/vm/disks.sh"

# Whether KVM runs a guest here. Some machines have /dev/kvm, but a guest hangs or QEMU ends at once.
kvm_works() { # KERNEL INITRD
  [ -w /dev/kvm ] || return 1
  timeout 15 qemu-system-x86_64 -nodefaults -display none -machine q35 -accel kvm -cpu host -smp 1 -m 512 -no-reboot -kernel "$1" -initrd "$2" \
    -append "console=ttyS0 panic=-1 rdinit=/none" -serial stdio </dev/null 2>/dev/null | grep -qm 1 'Kernel panic'
}

# Prints the accelerator, chosen once for each image. tb-size is the buffer for translated code: when it is full, QEMU discards all of it.
accelerator() { # IMAGE
  local file=$1/accelerator
  if [ ! -s "$file" ]; then
    if kvm_works "$1/vmlinuz" "$1/initrd.img"; then echo kvm; else echo tcg,thread=multi,tb-size=1024; fi >"$file"
  fi
  cat "$file"
}

# make_disks IMAGE [SAVED]: makes fresh disks for each host: layers on top of the saved disks, or of the image's disk. It never writes to either.
make_disks() {
  local host line name size
  for host in "${HOSTS[@]}"; do
    mkdir -p "$STATE/$host"
    layer "${2:+$2/$host/root.qcow2}" "$1/base.qcow2" "$STATE/$host/root.qcow2"
    for line in "${DISKS[@]}"; do
      read -r name size <<<"$line"
      if [ -n "${2:-}" ]; then
        layer "$2/$host/$name.qcow2" "" "$STATE/$host/$name.qcow2"
      else
        qemu-img create -q -f qcow2 "$STATE/$host/$name.qcow2" "$size"
      fi
    done
  done
}

layer() { qemu-img create -q -f qcow2 -F qcow2 -b "${1:-$2}" "$3"; } # BELOW ELSE-BELOW FILE

# start_machine HOST IMAGE [MEMORY]: starts a machine from its disks. With MEMORY: from that saved state, and paused.
# EXTRA_BOOT: further kernel parameters.
start_machine() {
  local host=$1 image=$2 saved=${3:-} dir=$STATE/$1 peer number=1 line name drives=() known
  peer=$(other_host "$host")
  [ "$host" = sigsrv ] || number=2
  for line in "root 6G" "${DISKS[@]}"; do
    name=${line% *}
    drives+=(-drive "if=none,id=$name,file=$dir/$name.qcow2,format=qcow2,cache=unsafe,discard=unmap"
      -device "virtio-blk-pci,drive=$name,serial=$name")
  done
  known=$(for each in "${HOSTS[@]}"; do printf '%s:%s,' "${ADDRESS[$each]}" "$each"; done)
  rm -f "$dir/trunk"
  (
    let_go
    exec qemu-system-x86_64 -name "$host" -nodefaults -display none -machine q35,hpet=off -accel "$(accelerator "$image")" -cpu "$CPU" -smp "$CPUS" -m "$MEMORY_MIB" \
      -kernel "$image/vmlinuz" -initrd "$image/initrd.img" \
      -append "root=/dev/vda rw console=ttyS0 net.ifnames=0 quiet $KERNEL systemd.hostname=$host lab.host=$host lab.address=${ADDRESS[$host]} lab.hosts=${known%,} ${EXTRA_BOOT:-}" \
      "${drives[@]}" \
      -netdev "user,id=outside,restrict=on,hostfwd=tcp:127.0.0.1:${SSH_PORT[$host]}-$GUEST:22,hostfwd=tcp:127.0.0.1:${API_PORT[$host]}-$GUEST:8443" \
      -device "virtio-net-pci,netdev=outside,mac=52:54:00:00:00:0$number,romfile=" \
      -netdev "dgram,id=trunk,local.type=unix,local.path=$dir/trunk,remote.type=unix,remote.path=$STATE/$peer/trunk" \
      -device "virtio-net-pci,netdev=trunk,mac=52:54:00:00:01:0$number,romfile=" \
      -device virtio-rng-pci -rtc base=utc,clock=host \
      -device virtio-serial-pci,max_ports=2 -chardev "socket,id=agent,path=$dir/agent,server=on,wait=off" \
      -device virtserialport,chardev=agent,name=org.qemu.guest_agent.0 \
      -serial "file:$dir/console" -qmp "unix:$dir/qmp,server=on,wait=off" \
      -pidfile "$dir/pid" -daemonize ${saved:+-S -incoming "exec:cat '$saved'"} >>"$dir/qemu.log" 2>&1 </dev/null
  ) || { tail -1 "$dir/qemu.log" >&2; return 1; }
  echo "$(cat "$dir/pid") $(start_time "$(cat "$dir/pid")")" >"$dir/started"
}

# restart_machine HOST: syncs its disks, stops it like a power cut, and starts it from the disks. EXTRA_BOOT as above.
restart_machine() {
  on "$1" sh -c 'sync; zpool sync' </dev/null
  end_machine "$1"
  start_machine "$1" "$(readlink "$STATE/machine-image")"
  "$LAB/vm/qemu" ready "$STATE/$1/agent" 300
  is_well_again "$1"
}

# QEMU with -incoming starts before it has read the memory, so wait for this.
is_loaded() { [ "$(machine_state "$1")" = paused ]; }

resume_machines() {
  local host
  for host in "${HOSTS[@]}"; do wait_for 60 "the saved memory of $host" is_loaded "$host"; done
  for host in "${HOSTS[@]}"; do qmp "$host" cont >/dev/null; done
}

# save_machines FOLDER: saves memory and disks of both hosts at one moment, and stops the machines.
save_machines() {
  local host
  for host in "${HOSTS[@]}"; do
    on "$host" sh -c 'sync; zpool sync; echo 3 >/proc/sys/vm/drop_caches; echo 1 >/proc/sys/vm/compact_memory; sync' </dev/null
  done
  for host in "${HOSTS[@]}"; do qmp "$host" stop >/dev/null; done
  for host in "${HOSTS[@]}"; do
    mkdir -p "$1/$host"
    qmp "$host" migrate-set-parameters '{"max-bandwidth": 4000000000}' >/dev/null
    qmp "$host" migrate "{\"uri\": \"exec:cat >'$1/$host/memory'\"}" >/dev/null
  done
  for host in "${HOSTS[@]}"; do
    wait_for 120 "the end of saving $host" is_saved "$host"
    end_machine "$host"
    mv "$STATE/$host"/*.qcow2 "$1/$host/"
    chmod -R a-w "$1/$host"
  done
}

is_saved() { [ "$(qmp "$1" query-migrate | jq -r .status)" = completed ]; }

end_machine() { # HOST
  local pid
  pid=$(host_pid "$1") || return 0
  kill -TERM "$pid" 2>/dev/null || return 0
  for _ in {1..50}; do [ -d "/proc/$pid" ] || return 0; sleep 0.1; done
  kill -KILL "$pid" 2>/dev/null || true
}

# No pid file names the processes that an interrupted start left. Their command line has the folder, so find them by that.
kill_hosts() {
  local host pid
  for host in "${HOSTS[@]}"; do end_machine "$host"; done
  for pid in $(pgrep -x qemu-system-x86 || true); do
    ! tr '\0' '\n' <"/proc/$pid/cmdline" 2>/dev/null | grep -qF "$STATE/" || kill -KILL "$pid" 2>/dev/null || true
  done
}
