"""The map of docs/security.md: every risk and chapter is in it, and every test that it names exists."""

from __future__ import annotations

import ast
import re
from pathlib import Path

ROOT = Path(__file__).parents[2]
TEXT = (ROOT / "docs" / "security.md").read_text(encoding="utf-8")
NAMED = re.compile(r"`(tests/[\w/]+\.py)(?:::(test_\w+))?`")


def _rows(heading):
    part = TEXT.split(heading, 1)[1].split("\n## ", 1)[0].split("\n### ", 1)[0]
    return {row.split("|")[1].strip().split(" ")[0]: row for row in part.splitlines() if row.startswith("| ")}


def test_every_named_test_exists():
    named = NAMED.findall(TEXT)
    assert len(named) > 60
    missing = []
    for file, test in named:
        path = ROOT / file
        if not path.is_file():
            missing.append(file)
        elif test:
            # Also those that a decorator makes of a function of that name.
            functions = {
                node.name
                for node in ast.walk(ast.parse(path.read_text(encoding="utf-8")))
                if isinstance(node, ast.FunctionDef)
            }
            if test not in functions:
                missing.append(f"{file}::{test}")
    assert missing == []


def test_every_risk_of_the_top_ten_is_mapped():
    rows = _rows("### OWASP API Security Top 10 (2023)")
    assert [f"API{number}" for number in range(1, 11)] == [name for name in rows if name.startswith("API")]
    for name in rows:
        if name.startswith("API"):
            assert NAMED.search(rows[name]), name


def test_every_chapter_of_the_standard_is_mapped():
    rows = _rows("### OWASP ASVS 5.0, level 2")
    assert [f"V{number}" for number in range(1, 18)] == [name for name in rows if re.fullmatch(r"V\d+", name)]
    for name, row in rows.items():
        if re.fullmatch(r"V\d+", name):
            assert NAMED.search(row) or "not applicable" in row, name


def test_what_is_not_shown_yet_is_said():
    assert "not yet" in TEXT
    assert (ROOT / "SECURITY.md").is_file()
