# shellcheck shell=bash
# shows: POOL-005
# does: scrubs the pool iso of the host with the clock set back by 40 days
# labs: vm

inject() { forty_days_ago "$1" 'zpool scrub -w iso'; }

heal() { on "$1" zpool scrub -w iso; }
