# shellcheck shell=bash
# shows: VOL-002
# does: makes the backup of svc-a ten days old; it is on sigsrv, whatever the host

inject() { on sigsrv touch -d '10 days ago' "$BACKUPS/svc-a-lab.tar.gz"; }
heal() { on sigsrv touch "$BACKUPS/svc-a-lab.tar.gz"; }
