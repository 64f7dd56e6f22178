# shellcheck shell=bash
# shows: VOL-002
# does: makes the backup of svc-a ten days old; the backup is on sigsrv, so either host name does the same

inject() { on sigsrv touch -d '10 days ago' "$BACKUPS/svc-a-lab.tar.gz"; }
heal() { on sigsrv touch "$BACKUPS/svc-a-lab.tar.gz"; }
