refuse() { echo "refused: $*" >&2; exit 1; }
# Call it once: after all old values are in $SIGSRV_STATE, and before the first change. They are on the disk then, as the change survives
# a reboot. If only the old values are wanted, the script ends here: sigsrv gives them to the other members before anything changes.
saved() {
  sync "$SIGSRV_STATE"/* "$SIGSRV_STATE" 2>/dev/null || sync "$SIGSRV_STATE"
  if [ -n "${SIGSRV_SAVE_ONLY:-}" ]; then exit 0; fi
}
one_line() { printf '%s' "$1" | tr '\n' ' '; } # TEXT, for a message
kept() { # WHAT NOW NEW: tells the operator that somebody changed a value since the fix, and that it stays
  echo "kept: $1 is $(one_line "${2:-unset}"), not $(one_line "${3:-unset}") as the fix left it"
}
# COMMAND...: runs it in an undo. If Incus refuses it, as it would the next time, the undo says so and goes on, and this is false.
# Other errors end the undo: it can be run again.
unless_refused() {
  if said=$("$@" 2>&1); then return 0; fi
  case $said in
    *"update allowed"* | *"forbidden"* | *"not allowed"* | *"Conflict detected"* | *"Missing source"* | *"Invalid "*)
      echo "kept: Incus refuses the old value: $(one_line "$said")"
      return 1
      ;;
  esac
  echo "$said" >&2
  exit 1
}
