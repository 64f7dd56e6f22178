# shellcheck shell=bash
# shows: XHOST-003
# does: adds a rule by hand to the loaded ACL of incusbr0, on the host only; the ACL in Incus does not have it

handle() { on "$1" nft -a list chain inet incus acl.incusbr0 | sed -n 's/.*tcp dport 8080 accept # handle //p'; }

inject() { [ -n "$(handle "$1")" ] || on "$1" nft insert rule inet incus acl.incusbr0 tcp dport 8080 accept; }

heal() {
  local found
  found=$(handle "$1")
  [ -z "$found" ] || on "$1" nft delete rule inet incus acl.incusbr0 handle "$found"
}
