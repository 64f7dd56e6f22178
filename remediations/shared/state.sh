refuse() { echo "refused: $*" >&2; exit 1; }
# Call it once: after all old values are in $SIGSRV_STATE, and before the first change. They are on the disk then, as the change survives
# a reboot. If only the old values are wanted, the script ends here: sigsrv gives them to the other members before anything changes.
saved() {
  sync "$SIGSRV_STATE"/* "$SIGSRV_STATE" 2>/dev/null || sync "$SIGSRV_STATE"
  if [ -n "${SIGSRV_SAVE_ONLY:-}" ]; then exit 0; fi
}
