# shellcheck shell=bash
# clients: the files beside `lab` with which ssh and sigsrv find the hosts. Written by up, removed by down, not in git.

CLIENT_FILES=(ssh_config ssh_config.noaccess ssh_config.audit known_hosts site.yaml)

ssh_config_for() { # USER
  local host
  for host in "${HOSTS[@]}"; do
    cat <<C
Host $host
  HostName ${ADDRESS[$host]}
  User $1
  IdentityFile "$STATE/id"
  IdentitiesOnly yes
  BatchMode yes
  StrictHostKeyChecking yes
  UserKnownHostsFile "$LAB/known_hosts"
  GlobalKnownHostsFile /dev/null
  UpdateHostKeys no
  ConnectTimeout 5
  ControlMaster no
  ControlPath none

C
  done
}

write_clients() {
  local host type key
  for host in "${HOSTS[@]}"; do
    read -r type key _ <"$STATE/$host/sshkeys/ssh_host_ed25519_key.pub"
    echo "$host,${ADDRESS[$host]} $type $key"
  done | replace known_hosts
  ssh_config_for root | replace ssh_config
  ssh_config_for noaccess | replace ssh_config.noaccess
  ssh_config_for audit | replace ssh_config.audit
  # Incus names an image by the SHA-256 of its file, which is made anew each time.
  sed "s/BUSYBOX/$(sha256sum <"$STATE/busybox.tar.gz" | cut -c 1-12)/" "$LAB/site.template.yaml" | replace site.yaml
}

# A file that says the same already is left alone.
replace() { # NAME, content on stdin
  local content
  content=$(cat; echo .)
  [ -f "$LAB/$1" ] && [ "$(cat "$LAB/$1"; echo .)" = "$content" ] || printf '%s' "${content%.}" >"$LAB/$1"
}

remove_clients() { rm -f "${CLIENT_FILES[@]/#/$LAB/}"; }
