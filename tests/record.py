"""Write what follows from policies, checks and saved evidence. Run by ``make record``; a person reviews the difference.

It writes the expected verdicts of the demo, the lists that a scan of each clean lab must give, and the generated documents. It needs no
lab: ``lab/record-clean`` and ``lab/record-demo`` save the evidence.
"""

from __future__ import annotations

import importlib.util
import json
from collections.abc import Mapping
from pathlib import Path

from sigsrv.model import data
from sigsrv.scan import scan
from sigsrv.scan.options import DEMO, Options
from sigsrv.scan.plan import prepare

ROOT = Path(__file__).resolve().parents[1]
CLEAN = ROOT / "tests" / "e2e" / "clean"
EVIDENCE = ROOT / "tests" / "evidence" / "clean"


def demo_verdicts() -> dict[str, str]:
    """Return the verdict of each finding of the shipped policies on the demo's evidence, by finding id."""
    return _verdicts(Options(evidence=DEMO))


def clean_verdicts(kind: str) -> dict[str, str]:
    """Return the verdict of each finding on the saved evidence of a clean lab, by finding id. kind: ``ns`` or ``vm``.

    Names that each lab makes for itself, such as the fingerprint of its image, are replaced by the words of ``names.json``.
    """
    folder = EVIDENCE / kind
    found = json.dumps(_verdicts(Options(site=str(folder / "site.yaml"), evidence=str(folder))))
    for name, word in json.loads((folder / "names.json").read_text(encoding="utf-8")).items():
        found = found.replace(name, word)
    return dict(json.loads(found))


def _verdicts(options: Options) -> dict[str, str]:
    run, _ = scan.scan(prepare(options))
    return {finding.id: finding.verdict.value for finding in run.findings}


def files() -> dict[Path, str]:
    """Return the content of each file that is derived, by its path."""
    spec = importlib.util.spec_from_file_location("generate", ROOT / "docs" / "generate.py")
    assert spec
    assert spec.loader
    generate = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(generate)
    found: dict[Path, str] = dict(generate.documents())
    found[data.DEMO / "expected.json"] = _json(demo_verdicts())
    ns, vm = clean_verdicts("ns"), clean_verdicts("vm")
    missing = sorted(ns.keys() - vm.keys())
    if missing:
        raise SystemExit(
            f"make: error: the lab of virtual machines has no finding {missing[0]}; record both labs again"
        )
    families: dict[str, dict[str, str]] = {}
    for key, verdict in ns.items():
        families.setdefault(key.partition("-")[0].lower(), {})[key] = verdict
    for family, verdicts in families.items():
        found[CLEAN / f"{family}.json"] = _json(verdicts)
    found[CLEAN / "vm" / "lab.json"] = _json({key: verdict for key, verdict in vm.items() if ns.get(key) != verdict})
    return found


def _json(verdicts: Mapping[str, str]) -> str:
    return json.dumps(verdicts, indent=1, sort_keys=True) + "\n"


def changes(path: Path, text: str) -> list[str]:
    """Return what is new in a file of verdicts, a line each; one line for any other file that changes."""
    old = path.read_text(encoding="utf-8") if path.exists() else ""
    if old == text:
        return []
    name = path.relative_to(ROOT)
    if path.suffix != ".json":
        return [f"{name}: changed"]
    was, now = json.loads(old or "{}"), json.loads(text)
    return [
        f"{name}: {key}: {was.get(key, 'not there')} -> {now.get(key, 'gone')}"
        for key in sorted(was.keys() | now.keys())
        if was.get(key) != now.get(key)
    ]


def main() -> None:
    """Write each derived file, and print what changes."""
    lines = []
    for path, text in files().items():
        lines += changes(path, text)
        path.write_text(text, encoding="utf-8")
    print("\n".join(lines) or "nothing changes")
    if lines:
        print(f"{len(lines)} changes. Review them (git diff): is each verdict right?")
    unread = [line for line in lines if line.endswith("-> error")]
    if unread:
        print(
            "A new probe is not in the saved evidence: bring up each lab, run lab/record-clean, then make record again."
        )


if __name__ == "__main__":
    main()
