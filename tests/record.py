"""Writes the files that are derived from policies, checks and saved evidence. ``make record`` runs this.

They are the expected verdicts of the demo, the expected verdicts of a scan of each clean lab, and the generated documents. A person
reviews the changes. No lab is needed: ``lab/record-clean`` and ``lab/record-demo`` save the evidence.
"""

from __future__ import annotations

import json
import runpy
from collections.abc import Mapping
from pathlib import Path

from sigsrv.model import data
from sigsrv.scan import scan
from sigsrv.scan.options import DEMO, Options
from sigsrv.scan.plan import prepare

ROOT = Path(__file__).resolve().parents[1]
CLEAN = ROOT / "tests" / "e2e" / "clean"
EVIDENCE = ROOT / "tests" / "evidence" / "clean"
OTHERS = ("incus-7.0", "hosts-1", "hosts-3")  # their lists are whole; that of vm has what differs from ns
LABS = ("ns", "vm", *OTHERS)


def demo_verdicts() -> dict[str, str]:
    """Return the verdict of each finding of the shipped policies on the demo's evidence, by finding id."""
    return _verdicts(Options(evidence=DEMO))


def clean_verdicts(kind: str) -> dict[str, str]:
    """Return the verdict of each finding on the saved evidence of a clean lab, by finding id. kind: one of ``LABS``.

    Names that differ in each lab, such as the fingerprint of its image, are replaced by the words in ``names.json``.
    """
    folder = EVIDENCE / kind
    found = json.dumps(_verdicts(Options(site=str(folder / "site.yaml"), evidence=str(folder))))
    for name, word in json.loads((folder / "names.json").read_text(encoding="utf-8")).items():
        found = found.replace(name, word)
    return dict(json.loads(found))


def _verdicts(options: Options) -> dict[str, str]:
    run, _ = scan.scan(prepare(options))
    return {finding.id: finding.verdict.value for finding in run.findings}


def documents() -> dict[Path, str]:
    """Return the text of each document that ``docs/generate.py`` writes, by path."""
    return dict(runpy.run_path(str(ROOT / "docs" / "generate.py"))["documents"]())


def files() -> dict[Path, str]:
    """Return the content of each derived file, by path."""
    found = documents()
    found[data.DEMO / "expected.json"] = _json(demo_verdicts())
    ns, vm = clean_verdicts("ns"), clean_verdicts("vm")
    missing = sorted(ns.keys() - vm.keys())
    if missing:
        raise SystemExit(
            f"make: error: finding {missing[0]} is missing in the evidence of the vm lab\nhint: record both labs again: lab/record-clean"
        )
    families: dict[str, dict[str, str]] = {}
    for key, verdict in ns.items():
        families.setdefault(key.partition("-")[0].lower(), {})[key] = verdict
    for family, verdicts in families.items():
        found[CLEAN / f"{family}.json"] = _json(verdicts)
    found[CLEAN / "vm" / "lab.json"] = _json({key: verdict for key, verdict in vm.items() if ns.get(key) != verdict})
    for kind in OTHERS:
        found[CLEAN / kind / "lab.json"] = _json(clean_verdicts(kind))
    return found


def _json(verdicts: Mapping[str, str]) -> str:
    return json.dumps(verdicts, indent=1, sort_keys=True) + "\n"


def changes(path: Path, text: str) -> list[str]:
    """Return the changes of a file of verdicts, one line for each. Any other file that changes gives one line."""
    old = path.read_text(encoding="utf-8") if path.exists() else ""
    if old == text:
        return []
    name = path.relative_to(ROOT)
    if path.suffix != ".json" or path.name.endswith(".schema.json"):
        return [f"{name}: changed"]
    was, now = json.loads(old or "{}"), json.loads(text)
    return [
        f"{name}: {key}: {was.get(key, 'missing')} -> {now.get(key, 'removed')}"
        for key in sorted(was.keys() | now.keys())
        if was.get(key) != now.get(key)
    ]


def main() -> None:
    """Write each derived file, and print the changes."""
    lines = []
    for path, text in files().items():
        lines += changes(path, text)
        path.parent.mkdir(exist_ok=True)
        path.write_text(text, encoding="utf-8")
    print("\n".join(lines) or "no changes")
    if lines:
        print(f"{len(lines)} changes. Review each verdict: git diff")
    unread = [line for line in lines if line.endswith("-> error")]
    if unread:
        print("The saved evidence lacks a new probe: start each lab, run lab/record-clean, then make record again.")


if __name__ == "__main__":
    main()
