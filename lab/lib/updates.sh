# shellcheck shell=bash
# updates: gives each host its own update data: two package archives, one of them for security, one installed package that both
# have, one kernel. The archives have the host's own release, although their file names say bookworm. No package can be fetched or
# installed. So a scan has the same result on each machine, and faults can change it.

# shellcheck disable=SC2034 # the faults use these names
LISTS=/var/lib/apt/lists   # on the host
SECURITY=security.lab.invalid_debian-security_dists_bookworm-security
STABLE=deb.lab.invalid_debian_dists_bookworm

write_updates() { # HOST: pid 1 mounts these folders; its working directory is the state folder
  local dir=$STATE/$1 codename
  codename=$(release_of_hosts)
  mkdir -p "$dir"/apt/lists/{partial,auxfiles} "$dir/boot"
  stanza sigsrv-lab-tool 1.0 "Status: install ok installed" >"$dir/apt/status"
  release Debian stable "$codename" "$(date +%s)" >"$dir/apt/lists/${STABLE}_InRelease"
  stanza sigsrv-lab-tool 1.0 >"$dir/apt/lists/${STABLE}_main_binary-amd64_Packages"
  release Debian-Security stable-security "$codename-security" "$(date +%s)" >"$dir/apt/lists/${SECURITY}_InRelease"
  stanza sigsrv-lab-tool 1.0 >"$dir/apt/lists/${SECURITY}_main_binary-amd64_Packages"
  : >"$dir/boot/vmlinuz-$(uname -r)"   # a scan reads only the name
}

release() { # LABEL SUITE CODENAME SECONDS: prints the release file of an archive made at that time
  cat <<R
Origin: Debian
Label: $1
Suite: $2
Version: 12
Codename: $3
Date: $(LC_ALL=C date -u -d "@$4" '+%a, %d %b %Y %H:%M:%S UTC')
Architectures: amd64
Components: main
R
}

stanza() { # PACKAGE VERSION [FIELD]
  printf '%s\n' "Package: $1" "Version: $2" ${3:+"$3"} "Architecture: amd64" "Maintainer: the lab <lab@lab.invalid>" \
    "Filename: pool/$1_$2_amd64.deb" "Size: 1000" "SHA256: $(printf '%064d' 0)" "Description: something to update" ""
}
