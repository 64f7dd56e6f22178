# shellcheck shell=bash
# shows: POOL-002
# does: gives the pool iso another rsync.bwlimit; the key is the cluster's, so on both hosts

inject() { set_keys "$1" "storage iso" rsync.bwlimit=10MB; }
heal() { set_keys "$1" "storage iso" rsync.bwlimit=50MB; }
