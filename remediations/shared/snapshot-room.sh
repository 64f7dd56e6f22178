# On a pool of directories each snapshot is a full copy.
room() { # POOL FOLDER COPIES: refuses if the copies do not fit, or if one takes longer than the script may
  shown=$(incus query -- "local:/1.0/storage-pools/$1")
  driver=$(printf '%s\n' "$shown" | sed -n 's/^\t"driver": "\(.*\)",*$/\1/p')
  [ "$driver" = dir ] || return 0
  [ -d "$2" ] || refuse "$2: no such folder here, so the size of its full copies is unknown. Take the snapshot by hand"
  [ -n "$3" ] || refuse "it is unknown how many full copies the schedule and the expiry keep. Set both by hand"
  used=$(nice du -skx -- "$2" | awk '{ printf "%d", $1 / 1024 }')
  free=$(df -Pk -- "$2" | awk 'NR == 2 { printf "%d", ($4 - $2 / 10) / 1024 }') # a tenth of the disk stays free
  [ "$((used * $3))" -le "$free" ] ||
    refuse "each snapshot on the pool $1 is a full copy: $3 copies of $used MiB do not fit into the $free MiB that may be used. Set a rarer schedule or a shorter expiry by hand"
  limit=$(printf '%s\n' "$shown" | sed -n 's/^\t\t"rsync.bwlimit": "\(.*\)",*$/\1/p')
  case $limit in
    '') limit=50 ;; # MiB/s, of a disk that also works for others
    *[GT]B | *[GT]iB) limit=1000 ;;
    *[0-9]MB | *[0-9]MiB) limit=${limit%M*} ;;
    *) limit=1 ;;
  esac
  [ "$((used / limit))" -le 200 ] ||
    refuse "a full copy of $used MiB takes about $((used / limit / 60 + 1)) minutes on the pool $1. Take the first snapshot by hand"
}
