"""What is installed: locked, by hash, from wherever the user installs; nothing needless."""

from __future__ import annotations

import re
import subprocess
import sys
import tomllib
from pathlib import Path

ROOT = Path(__file__).parents[2]
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))
LOCK = (ROOT / "requirements.lock").read_text(encoding="utf-8")


def _names(requirements):
    return {re.split(r"[\[<>=~!; ]", requirement)[0].lower() for requirement in requirements}


def _direct():
    return _names(
        [
            *PROJECT["project"]["dependencies"],
            *PROJECT["project"]["optional-dependencies"]["test"],
            *PROJECT["dependency-groups"]["build"],
        ]
    )


def test_every_dependency_is_locked_by_hash():
    entries = re.findall(
        r"^([a-z0-9._-]+)==[^\s\\]+[^\\\n]*\\\n((?:    --hash=sha256:[0-9a-f]{64}(?: \\)?\n)+)",
        LOCK,
        re.MULTILINE,
    )
    locked = {name for name, _ in entries}
    assert len(locked) == len(re.findall(r"==\d", LOCK))
    assert _direct() <= locked
    assert "://" not in LOCK


def test_nothing_is_pinned_for_those_who_install_the_package():
    for requirement in PROJECT["project"]["dependencies"]:
        assert re.fullmatch(r"[a-z0-9-]+(\[\w+\])?>=[\d.]+", requirement), requirement


def test_every_dependency_has_its_reason():
    decisions = (ROOT / "docs" / "decisions.md").read_text(encoding="utf-8")
    explained = set(re.findall(r"^\| `([a-z0-9-]+)`", decisions, re.MULTILINE))
    assert _direct() <= explained


def test_no_reason_is_left_without_its_dependency():
    decisions = (ROOT / "docs" / "decisions.md").read_text(encoding="utf-8")
    assert set(re.findall(r"^\| `([a-z0-9-]+)` \|", decisions, re.MULTILINE)) <= _direct()


def test_import_contracts_hold():
    result = subprocess.run(
        [sys.executable, "-c", "from importlinter.cli import lint_imports_command; lint_imports_command()", "--no-cache"],
        cwd=ROOT, capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert result.returncode == 0, result.stdout
    assert " 0 broken" in result.stdout
