"""The audit of dependencies: what it finds fails, and what it could not look up is never called clean."""

from __future__ import annotations

import importlib.util
import stat
from importlib.machinery import SourceFileLoader
from pathlib import Path

import pytest

FILE = Path(__file__).parents[2] / ".ci" / "audit"
CLEAN = {"name": "flask", "version": "3.1.3", "vulns": []}
BAD = {
    "name": "urllib3",
    "version": "1.24.1",
    "vulns": [{"id": "PYSEC-2019-133", "fix_versions": ["1.24.2"]}],
}
UNKNOWN = {"name": "alembic", "skip_reason": "not found"}


@pytest.fixture
def audit():
    loader = SourceFileLoader("ci_audit", str(FILE))
    module = importlib.util.module_from_spec(importlib.util.spec_from_loader("ci_audit", loader))
    loader.exec_module(module)
    return module


def answering(*answers):
    """Stand in for pip-audit, which is asked about the known one first."""
    left = list(answers)
    return lambda *_: left.pop(0)


@pytest.mark.parametrize(
    ("answers", "code", "told"),
    [
        ([([BAD], ""), ([CLEAN], "")], 0, "1 packages audited, 0 with"),
        ([([BAD], ""), ([CLEAN, BAD], "")], 1, "urllib3 1.24.1: PYSEC-2019-133, mended in 1.24.2"),
        ([([BAD], ""), ([CLEAN, UNKNOWN], "")], 0, "NOT AUDITED, because they are not known there: alembic"),
        ([([BAD], ""), ([UNKNOWN], "")], 0, "AUDIT SKIPPED"),
        ([([CLEAN], "")], 0, "AUDIT SKIPPED"),
        ([([UNKNOWN], "")], 0, "AUDIT SKIPPED"),
        ([(None, "Could not connect")], 0, "Could not connect"),
        ([([BAD], ""), (None, "no answer within 120 s")], 0, "AUDIT SKIPPED"),
    ],
)
def test_it_fails_or_says_what_it_did_not_look_up(audit, monkeypatch, capsys, answers, code, told):
    monkeypatch.setattr(audit, "ask", answering(*answers))
    assert audit.main() == code
    assert told in capsys.readouterr().out


def test_the_checks_of_a_change_run_it_and_it_weakens_nothing():
    run = (FILE.parent / "run").read_text(encoding="utf-8")
    assert "\npython .ci/audit" in run
    assert FILE.stat().st_mode & stat.S_IXUSR
    assert "pip install --quiet --require-hashes -r requirements.lock" in run
