"""Refuse words that are not plain English. Run by ``make check``; the words are in ``plain_words.txt``."""

from __future__ import annotations

import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
WORDS = Path(__file__).with_suffix(".txt")
READ = frozenset({".md", ".py", ".yaml", ".j2", ".sh", ".json", ".toml", ".service", ".timer", ".txt"})
# Raw output of programs, names of published controls, the list itself and its test.
NOT_OURS = (
    "policies/controls/",
    "src/sigsrv/demo/evidence/",
    "tests/evidence/",
    "tests/plain_words.txt",
    "tests/test_plain_words.py",
)


def words() -> list[tuple[re.Pattern[str], str]]:
    """Return each refused expression with its hint. Raises ValueError for a line that is not an expression, a tab and a hint."""
    found = []
    for line in WORDS.read_text(encoding="utf-8").splitlines():
        if line and not line.startswith("#"):
            expression, hint = line.split("\t")
            found.append((re.compile(expression, re.IGNORECASE), hint))
    return found


def files() -> Iterator[Path]:
    """Yield the files of the repository that a person reads."""
    done = subprocess.run(["git", "ls-files"], cwd=ROOT, capture_output=True, text=True, check=True)
    for name in done.stdout.splitlines():
        path = ROOT / name
        if (path.suffix in READ or path.name == "Makefile") and not name.startswith(NOT_OURS) and path.exists():
            yield path


def mistakes(text: str) -> Iterator[tuple[int, str, str]]:
    """Yield line number, word and hint for each refused word of a text."""
    refused = words()
    for number, line in enumerate(text.splitlines(), 1):
        for expression, hint in refused:
            for match in expression.finditer(line):
                yield number, match[0], hint


def main() -> int:
    """Print each refused word with its file and line. Exit status: 0 none, 1 some."""
    found = 0
    for path in files():
        for number, word, hint in mistakes(path.read_text(encoding="utf-8")):
            print(f'{path.relative_to(ROOT)}:{number}: "{word}": write: {hint}')
            found += 1
    if found:
        print(f"{found} words are not plain English; the list is {WORDS.relative_to(ROOT)}")
    return 1 if found else 0


if __name__ == "__main__":
    sys.exit(main())
