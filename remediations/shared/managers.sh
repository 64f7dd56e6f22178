note_managers() { # LINK: say which programs of this host set its links up, because they set this one back
  for program in systemd-networkd NetworkManager; do
    if [ -d /run/systemd/system ] && systemctl is-active --quiet "$program.service"; then
      echo "note: $program sets up links of this host. If it manages $1, make the change in its configuration too: this one does not last"
    fi
  done
  if grep -rqsw -e "$1" /etc/network/interfaces /etc/network/interfaces.d; then
    echo "note: ifupdown sets $1 up (/etc/network/interfaces). Make the change there too: this one does not last"
  fi
}
