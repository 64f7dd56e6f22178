# A restart of $project/$instance by a fix, and of the same one by its undo. NUMBER separates several instances of one fix, "" for a
# single one. Needs state.sh, kept.sh and changed-instance.sh.
may_start() { # PROTECTION
  value=$(incus config get --expanded --project "$project" -- "local:$instance" "security.protection.$1")
  case $value in
    true | True | TRUE | 1 | yes | on) refuse "$project/$instance must restart, and security.protection.$1 may keep it from that" ;;
  esac
}
may_restart() { # MAPS: yes if the restart may change the id map
  status=$(column s)
  case $status in
    RUNNING | READY)
      kind=$(column t)
      case $kind in
        *EPHEMERAL*) refuse "$project/$instance is ephemeral (Incus deletes it when it stops), and the fix must restart it" ;;
      esac
      doing=$(busy)
      [ -z "$doing" ] || refuse "$project/$instance must restart, and Incus is busy with it ($(one_line "$doing")): wait for the end of that"
      may_start start
      if [ "$1" = yes ]; then may_start shift; fi
      ;;
    STOPPED) ;;
    *) refuse "$project/$instance is neither running nor stopped, and the fix must restart it" ;;
  esac
}
remember_run() { # NUMBER
  [ -s "$SIGSRV_STATE/pid$1" ] || column p >"$SIGSRV_STATE/pid$1"
  date +%s >"$SIGSRV_STATE/began"
}
restart_once() { # NUMBER: restarts it if it runs, unless it has restarted since
  status=$(column s)
  case $status in
    RUNNING | READY)
      pid=$(column p)
      if [ "$pid" = "$(cat "$SIGSRV_STATE/pid$1")" ]; then
        incus restart --project "$project" --timeout 100 -- "local:$instance" # systemd in a guest gives a service 90 s to stop
        echo "$project/$instance: restarted"
      fi
      ;;
    *) echo "$project/$instance: takes effect at its next start" ;;
  esac
}
restart_back() { # NUMBER: in an undo, restarts it if the fix did, and if $SIGSRV_STATE/dueNUMBER says that a value went back
  ran=$(cat "$SIGSRV_STATE/pid$1")
  began=$(cat "$SIGSRV_STATE/began")
  status=$(column s)
  pid=$(column p)
  case ${ran:+"$status"} in
    '') ;; # it did not run
    STOPPED)
      if ! forced && [ $(($(date +%s) - ${began:-0})) -gt 3600 ]; then
        kept_value "$project/$instance: status" STOPPED RUNNING # somebody stopped it: the fix would have been undone long ago
      else
        incus start --project "$project" -- "local:$instance"
        echo "$project/$instance: started"
      fi
      ;;
    *)
      if [ "$pid" = "$ran" ]; then
        echo "$project/$instance: not restarted, because apply.sh did not restart it either"
      elif [ -s "$SIGSRV_STATE/due$1" ]; then
        if incus restart --project "$project" --timeout 100 -- "local:$instance"; then
          echo "$project/$instance: restarted"
        else
          now=$(column p)
          [ "$now" = "$pid" ] || exit 1
          kept "$project/$instance runs as the fix left it until its next restart: it did not stop in 100 s"
        fi
        rm "$SIGSRV_STATE/due$1"
      fi
      ;;
  esac
}
