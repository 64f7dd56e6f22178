# shellcheck shell=bash
# shows: POOL-002
# does: changes rsync.bwlimit of the pool iso; the key belongs to the cluster, so both hosts are affected

inject() { set_keys "$1" "storage iso" rsync.bwlimit=10MB; }
heal() { set_keys "$1" "storage iso" rsync.bwlimit=50MB; }
