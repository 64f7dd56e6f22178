state_of() { # UNIT: print enabled, disabled, masked, ... as systemd has it; not-found if there is no such unit
  if systemctl show -p LoadState "$1" | grep -qx LoadState=not-found; then echo not-found; else systemctl is-enabled "$1" 2>/dev/null || true; fi
}
