BEGIN TRANSACTION;
CREATE TABLE kept (
  transaction_id TEXT PRIMARY KEY, run_id TEXT NOT NULL, undoes TEXT NOT NULL, fix TEXT NOT NULL, verdicts TEXT NOT NULL,
  net TEXT NOT NULL, mended TEXT NOT NULL DEFAULT '[]', state TEXT
);
INSERT INTO "kept" VALUES('0123456789abcde0','20261126T071301Z-5e1f','','{"finding": "NET-001@minisrv/a", "name": "write-file", "title": "Write the expected content into the file", "command": "c", "runs_on": "minisrv", "disruption": "network", "disrupts": "Nothing but the file.", "undo_text": "Restores the old content.", "timeout_s": 5, "script": "cp \"$HERE/a\" \"$SIGSRV_STATE/old\"\necho new >\"$HERE/a\"\n", "undo": "[ ! -e \"$SIGSRV_STATE/old\" ] || cp \"$SIGSRV_STATE/old\" \"$HERE/a\"\n", "permanent": {}, "changes": "bridge", "survives_reboot": false, "words": ["a"]}','{"NET-001@minisrv/a": "fail"}','shell','["NET-001@minisrv/a"]','b2xk b2xkCg==
');
CREATE TABLE reserve (id INTEGER PRIMARY KEY, room BLOB NOT NULL);
CREATE TABLE run (
  id TEXT PRIMARY KEY, at REAL NOT NULL, who TEXT NOT NULL, site TEXT NOT NULL, undoes TEXT NOT NULL, pid INTEGER NOT NULL
);
INSERT INTO "run" VALUES('20261126T071301Z-5e1f',1.79601967658109712595e+09,'root@station','lab','',4242);
CREATE TABLE step (
  id INTEGER PRIMARY KEY, transaction_id TEXT NOT NULL, at REAL NOT NULL, who TEXT NOT NULL, finding TEXT NOT NULL,
  remediation TEXT NOT NULL, host TEXT NOT NULL, script_sha256 TEXT NOT NULL, state TEXT NOT NULL, detail TEXT NOT NULL
);
INSERT INTO "step" VALUES(1,'0123456789abcde0',1.79601967660551214219e+09,'root@station','NET-001@minisrv/a','write-file','minisrv','3bfb2fd34f371c16ff8b3544c13dfb17845557fb088e9b536459b74550b708c7','applying','');
INSERT INTO "step" VALUES(2,'0123456789abcde0',1.79601967663322472572e+09,'root@station','NET-001@minisrv/a','write-file','minisrv','3bfb2fd34f371c16ff8b3544c13dfb17845557fb088e9b536459b74550b708c7','applied','said');
INSERT INTO "step" VALUES(3,'0123456789abcde0',1796019676.65736,'root@station','NET-001@minisrv/a','write-file','minisrv','3bfb2fd34f371c16ff8b3544c13dfb17845557fb088e9b536459b74550b708c7','confirming','');
INSERT INTO "step" VALUES(4,'0123456789abcde0',1.79601967668252944943e+09,'root@station','NET-001@minisrv/a','write-file','minisrv','3bfb2fd34f371c16ff8b3544c13dfb17845557fb088e9b536459b74550b708c7','verified','');
COMMIT;
PRAGMA user_version = 2;
