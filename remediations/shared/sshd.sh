# The daemon sshd. If a Match block has LocalPort, sshd 9.2 answers only if it is given a port.
sshd_runs() { # set $pid
  pidfile=$(sshd -T -C lport=1 | sed -n 's/^pidfile //Ip')
  [ -s "$pidfile" ] && pid=$(cat "$pidfile") && [ "$(cat "/proc/$pid/comm" 2>/dev/null)" = sshd ]
}

start_sshd() { # start it as it was started, from the command line in $SIGSRV_STATE/command
  if [ -d /run/systemd/system ]; then
    for unit in ssh.service sshd.service; do
      if systemctl cat "$unit" >/dev/null 2>&1; then systemctl start --no-block "$unit"; return; fi
    done
  fi
  command=$(cat "$SIGSRV_STATE/command" 2>/dev/null || true)
  # shellcheck disable=SC2086 # words
  ${command:-$(command -v sshd)}
}

reload_sshd() {
  if sshd_runs; then kill -HUP "$pid"; echo "sshd is reloaded"; return; fi
  if start_sshd; then echo "sshd did not run: it is started"; else echo "sshd does not run and can't be started. Start it by hand: systemctl start ssh"; fi
}
