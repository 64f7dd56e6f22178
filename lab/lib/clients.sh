# shellcheck shell=bash
# clients: writes the files that ssh and sigsrv need to reach the hosts, in $CLIENTS. `up` writes them, `down` removes them. Not in git.

CLIENT_FILES=(ssh_config ssh_config.noaccess ssh_config.audit known_hosts site.yaml)

ssh_config_for() { # USER
  local host
  for host in "${HOSTS[@]}"; do
    cat <<C
Host $host
$(ssh_address "$host")
  User $1
  IdentityFile "$STATE/id"
  IdentitiesOnly yes
  BatchMode yes
  StrictHostKeyChecking yes
  UserKnownHostsFile "$CLIENTS/known_hosts"
  GlobalKnownHostsFile /dev/null
  UpdateHostKeys no
  ConnectTimeout $((5 * SLOWNESS))
  ControlMaster no
  ControlPath none

C
  done
}

write_clients() {
  local host type key schema
  mkdir -p "$CLIENTS"
  for host in "${HOSTS[@]}"; do
    read -r type key _ < <(host_key "$host")
    echo "$(known_as "$host") $type $key"
  done | replace known_hosts
  ssh_config_for root | replace ssh_config
  ssh_config_for noaccess | replace ssh_config.noaccess
  ssh_config_for audit | replace ssh_config.audit
  schema=$(realpath --relative-to="$CLIENTS" "$LAB/../policies/schema/site.schema.json")
  # Incus names an image by the SHA-256 of its file. Each lab makes a new file.
  sed -e "s|schema=.*|schema=$schema|" -e "s/BUSYBOX/$(sha256sum <"$STATE/busybox.tar.gz" | cut -c 1-12)/" \
    "$LAB/$KIND/site.template.yaml" | sed -f <(site_changes) | replace site.yaml
}

# Writes the file only if its content changes.
replace() { # NAME, content on stdin
  local content
  content=$(cat; echo .)
  [ -f "$CLIENTS/$1" ] && [ "$(cat "$CLIENTS/$1"; echo .)" = "$content" ] || printf '%s' "${content%.}" >"$CLIENTS/$1"
}

remove_clients() { rm -f "${CLIENT_FILES[@]/#/$CLIENTS/}"; }
