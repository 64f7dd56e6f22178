# shellcheck shell=bash
# shows: XHOST-003
# does: adds a rule to what is loaded of the ACL of incusbr0, on the host alone; the ACL itself does not have it

handle() { on "$1" nft -a list chain inet incus acl.incusbr0 | sed -n 's/.*tcp dport 8080 accept # handle //p'; }

inject() { [ -n "$(handle "$1")" ] || on "$1" nft insert rule inet incus acl.incusbr0 tcp dport 8080 accept; }

heal() {
  local found
  found=$(handle "$1")
  [ -z "$found" ] || on "$1" nft delete rule inet incus acl.incusbr0 handle "$found"
}
