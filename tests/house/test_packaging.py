"""What is installed: locked, by hash, from wherever the user installs; nothing needless."""

from __future__ import annotations

import contextlib
import re
import subprocess
import sys
import tomllib
from importlib.metadata import PackageNotFoundError, requires
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
        r"^([a-z0-9._-]+)(?:\[[a-z0-9,._-]+\])?==[^\s\\]+[^\\\n]*\\\n((?:    --hash=sha256:[0-9a-f]{64}(?: \\)?\n)+)",
        LOCK,
        re.MULTILINE,
    )
    assert len(entries) == len(re.findall(r"==\d", LOCK))  # some twice: for older and for newer Pythons
    assert _direct() <= {name for name, _ in entries}
    assert "://" not in LOCK


def test_an_extra_is_locked_as_it_is_asked_for():
    """Else pip, which counts `name[extra]` and `name` as two, takes the newest of the former and finds no hash for it."""
    asked = set()
    for name in re.findall(r"^([a-z0-9._-]+)[\[=]", LOCK, re.MULTILINE):
        with contextlib.suppress(PackageNotFoundError):  # for another system
            asked.update(
                needed.split("]")[0].lower() + "]"
                for needed in requires(name) or ()
                if "[" in needed and "extra ==" not in needed
            )
    assert "coverage[toml]" in asked
    assert asked <= set(re.findall(r"^([a-z0-9._-]+\[[a-z0-9,._-]+\])==", LOCK, re.MULTILINE))


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
