get() { incus project get -- "local:$project" "$1"; } # KEY
find_project() { # ends the undo if there is no such project. Only an empty one can be renamed or deleted
  if said=$(incus query -- "local:/1.0/projects/$project" 2>&1); then return 0; fi
  case $said in
    *"not found"*) echo "nothing left to undo: there is no project $project"; exit 0 ;;
    *) echo "$said" >&2; exit 1 ;;
  esac
}
