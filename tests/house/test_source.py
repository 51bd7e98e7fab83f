"""Rules about the text of the project that no linter knows."""

from __future__ import annotations

import ast
import builtins
import re
import subprocess
from functools import cache
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
ENGAGE = sorted((ROOT / "engage").rglob("*.py"))
FEATURE_FILES = {
    "__init__", "routes", "schemas", "service", "queries", "access", "models", "errors", "caller", "gateway", "geo", "tokens", "fake",
}  # fmt: skip
NOT_FEATURES = {"core", "cli", "demo", "console", "data"}
LINES = 400

COMMITS = {
    "engage/core/db.py",
    "engage/cli/database.py",
}  # the latter commits migrations, which are not a Work
CLOCKS = {"engage/core/clock.py"}
GIVES_AND_FREES = {
    f"engage/activities/service/{name}.py" for name in ("admission", "joining", "filling", "transitions")
}
KNOWS_ROLES = {
    "engage/orgs/access.py",  # decides
    "engage/orgs/service/roles.py", "engage/orgs/service/invitations.py",  # give and end
    "engage/orgs/queries/grants.py", "engage/orgs/queries/permissions.py",  # show
    "engage/demo/people.py",  # gives those of the demo
}  # fmt: skip
HTTP = {"routes.py", "caller.py", "http.py", "arguments.py", "replies.py", "app.py"}

every_file = pytest.mark.parametrize("path", ENGAGE, ids=lambda path: str(path.relative_to(ROOT)))


def _name(path: Path) -> str:
    return path.relative_to(ROOT).as_posix()


@cache
def _tree(path: Path) -> ast.Module:
    return ast.parse(path.read_text(encoding="utf-8"))


def _dotted(node: ast.AST) -> str:
    if isinstance(node, ast.Attribute):
        return f"{_dotted(node.value)}.{node.attr}"
    return node.id if isinstance(node, ast.Name) else "…"


def _calls(path: Path) -> list[str]:
    return [_dotted(node.func) for node in ast.walk(_tree(path)) if isinstance(node, ast.Call)]


@every_file
def test_transactions_end_in_one_place(path):
    if _name(path) not in COMMITS:
        assert not [call for call in _calls(path) if call.endswith((".commit", ".rollback"))]


@every_file
def test_the_clock_is_read_in_one_place(path):
    readings = re.compile(r"(^|\.)(datetime\.(now|utcnow|today)|date\.today|time\.(time|time_ns))$")
    if _name(path) not in CLOCKS:
        assert not [call for call in _calls(path) if readings.search(call)]
        assert "CURRENT_TIMESTAMP" not in path.read_text(encoding="utf-8").upper()
        assert not [call for call in _calls(path) if call in ("func.now", "sa.func.now")]


@every_file
def test_queries_are_selects(path):
    assert not [call for call in _calls(path) if call.endswith(".query")]


@every_file
def test_the_state_of_a_sign_up_is_written_in_few_places(path):
    """So that there is one way in and few ways out."""
    if _name(path) not in GIVES_AND_FREES:
        written = re.compile(
            r"""\bstate["']?\s*(?::|=(?!=))\s*SignUpState\.|(?:INSERT INTO|UPDATE) sign_up\b"""
        )
        assert written.findall(path.read_text(encoding="utf-8")) == []


@every_file
def test_what_a_role_may_is_decided_in_one_place(path):
    """In the table of orgs/access.py; elsewhere roles are only stored, shown and given."""
    if _name(path) not in KNOWS_ROLES:
        named = re.findall(r"\bRole\.[A-Z_]+|\bRoleGrant\.role\b|\bROLES\b", path.read_text(encoding="utf-8"))
        assert named == []


@every_file
def test_imports_stand_at_the_top(path):
    inner = [
        node.lineno
        for function in ast.walk(_tree(path))
        if isinstance(function, ast.FunctionDef | ast.AsyncFunctionDef)
        for node in ast.walk(function)
        if isinstance(node, ast.Import | ast.ImportFrom)
    ]
    assert inner == []


@every_file
def test_below_the_routes_nothing_is_hidden_in_the_request(path):
    if path.name in HTTP or path.parent.name in ("routes", "console", "fake"):
        return
    names = [
        alias.name
        for node in ast.walk(_tree(path))
        if isinstance(node, ast.ImportFrom) and node.module == "flask"
        for alias in node.names
    ]
    assert not {"g", "current_app", "request", "session"} & set(names)


@every_file
def test_nothing_is_left_to_do(path):
    assert not re.search(r"\b(TODO|FIXME|XXX|HACK)\b", path.read_text(encoding="utf-8"))


@every_file
def test_files_are_short_enough_to_read(path):
    count = len(path.read_text(encoding="utf-8").splitlines())
    assert count <= LINES, f"{count} lines: split it by noun"


@every_file
def test_modules_say_what_they_are(path):
    assert ast.get_docstring(_tree(path)), "a module begins with a sentence about itself"


@every_file
def test_public_functions_are_documented(path):
    rooms = {"service", "queries", "access"}
    is_core = path.parent.name == "core"
    if not (is_core or path.stem in rooms or path.parent.name in rooms):
        return
    undocumented = [
        node.name
        for node in _tree(path).body
        if isinstance(node, ast.FunctionDef) and not node.name.startswith("_") and not ast.get_docstring(node)
    ]
    assert undocumented == []


@every_file
def test_refusals_raised_are_in_the_docstring(path):
    rooms = {"service", "queries", "access"}
    if not (path.stem in rooms or path.parent.name in rooms):
        return
    silent = []
    for node in _tree(path).body:
        if isinstance(node, ast.FunctionDef) and not node.name.startswith("_"):
            raised = {
                _dotted(inner.exc.func if isinstance(inner.exc, ast.Call) else inner.exc)
                for inner in ast.walk(node)
                if isinstance(inner, ast.Raise) and inner.exc
            }
            refusals = {name for name in raised if name[0].isupper() and not hasattr(builtins, name)}
            silent += [
                f"{node.name}: {name}" for name in refusals if name not in (ast.get_docstring(node) or "")
            ]
    assert silent == []


def test_features_have_the_same_rooms():
    strangers = [
        _name(entry)
        for feature in sorted((ROOT / "engage").iterdir())
        if feature.is_dir() and feature.name not in NOT_FEATURES and feature.name != "__pycache__"
        for entry in feature.iterdir()
        if entry.name != "__pycache__" and entry.stem not in FEATURE_FILES
    ]
    assert strangers == []


def test_the_top_level_is_fixed():
    allowed = {
        ".ci", ".gitignore", "CONTRIBUTING.md", "LICENSE", "README.md", "docs", "engage", "migrations", "openapi.yaml",
        "pyproject.toml", "requirements.lock", "tests", "wsgi.py",
    }  # fmt: skip
    assert {Path(name).parts[0] for name in _tracked()} <= allowed


def _tracked() -> list[str]:
    """Files under version control; of an unpacked archive, all files."""
    listed = subprocess.run(["git", "ls-files", "-z"], cwd=ROOT, capture_output=True, text=True, check=False)
    if listed.returncode == 0 and listed.stdout:
        return [name for name in listed.stdout.split("\0") if name and (ROOT / name).is_file()]
    skipped = {".venv", "__pycache__", ".git"}
    return [
        _name(path)
        for path in ROOT.rglob("*")
        if path.is_file() and not skipped & set(path.relative_to(ROOT).parts)
    ]


def _word(*parts: str) -> str:
    return "".join(parts)  # so that this file does not hold what it looks for


FORBIDDEN = [
    _word(r"(?<![\w.])/(ro", "ot|wo", "rk|ho", "me|Us", r"ers)/\w"), _word(r"\.\./sha", r"red\b"),
    _word("pypi", r"\.(org|python)"), _word("files.", "pythonhosted"), r"--(extra-)?index" + "-url", _word("npm", r"js\.(com|org)"),
    r"\b[Ii]ssues? #?\d", r"\B#\d+\b(?!;)", _word("AKIA", r"[0-9A-Z]{16}"), _word("BEGIN ", r"(RSA |EC )?PRIVATE KEY"),
]  # fmt: skip


@pytest.mark.parametrize("pattern", FORBIDDEN)
def test_nothing_points_outside_the_project(pattern):
    found = []
    for name in _tracked():
        if name == "tests/house/test_source.py" or name.startswith("engage/data/LICENSES"):
            continue
        try:
            text = (ROOT / name).read_text(encoding="utf-8")
        except UnicodeDecodeError:
            continue
        found += [
            f"{name}:{number}: {line.strip()[:120]}"
            for number, line in enumerate(text.splitlines(), 1)
            if re.search(pattern, line)
        ]
    assert found == []
