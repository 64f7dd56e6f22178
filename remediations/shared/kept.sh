# Compare and swap, for undo.sh: an old value is written only where the value is still what the fix left. Else the script says what is
# there now, leaves it and goes on.
forced() { [ "${SIGSRV_FORCE:-}" = yes ]; }
kept() { echo "kept: $*"; }
