# Compare and swap, for undo.sh: an old value is written only where the value is still what the fix left. Else the script says what is
# there now, leaves it and goes on.
forced() { [ "${SIGSRV_FORCE:-}" = yes ]; }
one_line() { printf '%s' "$1" | tr '\n' ' '; } # TEXT, for a message
kept() { echo "kept: $*"; } # WHAT stays, and why
kept_value() { # WHAT NOW NEW: says that somebody changed a value since the fix, and that it stays
  kept "$1 is $(one_line "${2:-unset}"), not $(one_line "${3:-unset}") as the fix left it"
}
# COMMAND...: runs it in an undo. If Incus refuses it, as it would the next time, the undo says so and goes on, and this is false.
# Other errors end the undo: it can be run again.
unless_refused() {
  if said=$("$@" 2>&1); then return 0; fi
  case $said in
    *"update allowed"* | *"forbidden"* | *"not allowed"* | *"Conflict detected"* | *"Missing source"* | *"Invalid "*)
      kept "Incus refuses the old value: $(one_line "$said")"
      return 1
      ;;
  esac
  echo "$said" >&2
  exit 1
}
