"""Rules about the text of the project that no linter knows."""

from __future__ import annotations

import ast
import builtins
import re
import subprocess
from collections.abc import Callable, Collection
from functools import cache
from pathlib import Path
from typing import Any

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
# What is compared by ``==`` although its name sounds secret.
COMPARED = {
    "engage/core/config.py",  # the setting with the public default, at the start
    "engage/activities/service/consequences.py",  # the digest of a preview, shown to whoever sends it back
    "engage/wechat/tokens.py",  # our own token with our own
    "engage/wechat/fake/world.py",  # stands in for WeChat in tests and in the demo
}
HTTP = {"routes.py", "caller.py", "http.py", "arguments.py", "replies.py", "app.py"}


def _name(path: Path) -> str:
    return path.relative_to(ROOT).as_posix()


@cache
def _text(path: Path) -> str:
    return path.read_text(encoding="utf-8")


@cache
def _tree(path: Path) -> ast.Module:
    return ast.parse(_text(path))


def _dotted(node: ast.AST) -> str:
    if isinstance(node, ast.Attribute):
        return f"{_dotted(node.value)}.{node.attr}"
    return node.id if isinstance(node, ast.Name) else "…"


def _calls(path: Path) -> list[str]:
    return [_dotted(node.func) for node in ast.walk(_tree(path)) if isinstance(node, ast.Call)]


def found(look: Callable[[Path], list[Any]], but: Collection[str] = ()) -> dict[str, list[Any]]:
    """What a look at each file of the package finds, by the file's name."""
    return {_name(path): findings for path in ENGAGE if _name(path) not in but and (findings := look(path))}


def test_transactions_end_in_one_place():
    assert (
        found(
            lambda path: [call for call in _calls(path) if call.endswith((".commit", ".rollback"))], COMMITS
        )
        == {}
    )


def test_the_clock_is_read_in_one_place():
    readings = re.compile(r"(^|\.)(datetime\.(now|utcnow|today)|date\.today|time\.(time|time_ns)|func\.now)$")

    def read(path):
        by_the_database = re.findall("CURRENT_TIMESTAMP", _text(path), re.IGNORECASE)
        return [call for call in _calls(path) if readings.search(call)] + by_the_database

    assert found(read, CLOCKS) == {}


def test_grants_of_the_caller_are_asked_for_in_one_place():
    """So that nobody forgets that a key of theirs may do less: ``permitted`` and its like stand in orgs."""

    def asked(path):
        return [] if "engage/orgs/" in _name(path) else re.findall("live_grant", _text(path))

    assert found(asked) == {}


def test_queries_are_selects():
    assert found(lambda path: [call for call in _calls(path) if call.endswith(".query")]) == {}


def test_the_state_of_a_sign_up_is_written_in_few_places():
    """So that there is one way in and few ways out."""
    written = re.compile(r"""\bstate["']?\s*(?::|=(?!=))\s*SignUpState\.|(?:INSERT INTO|UPDATE) sign_up\b""")
    assert found(lambda path: written.findall(_text(path)), GIVES_AND_FREES) == {}


def test_what_a_role_may_is_decided_in_one_place():
    """In the table of orgs/access.py; elsewhere roles are only stored, shown and given."""
    named = re.compile(r"\bRole\.[A-Z_]+|\bRoleGrant\.role\b|\bROLES\b")
    assert found(lambda path: named.findall(_text(path)), KNOWS_ROLES) == {}


def test_imports_stand_at_the_top():
    def inner(path):
        return [
            node.lineno
            for function in ast.walk(_tree(path))
            if isinstance(function, ast.FunctionDef | ast.AsyncFunctionDef)
            for node in ast.walk(function)
            if isinstance(node, ast.Import | ast.ImportFrom)
        ]

    assert found(inner) == {}


def test_below_the_routes_nothing_is_hidden_in_the_request():
    def hidden(path):
        if path.name in HTTP or path.parent.name in ("routes", "console", "fake"):
            return []
        names = {
            alias.name
            for node in ast.walk(_tree(path))
            if isinstance(node, ast.ImportFrom) and node.module == "flask"
            for alias in node.names
        }
        return sorted({"g", "current_app", "request", "session"} & names)

    assert found(hidden) == {}


def test_nothing_is_left_to_do():
    assert found(lambda path: re.findall(r"\b(TODO|FIXME|XXX|HACK)\b", _text(path))) == {}


def test_files_are_short_enough_to_read():
    """Else they are split by noun."""
    lengths = {_name(path): len(_text(path).splitlines()) for path in ENGAGE}
    assert {name: length for name, length in lengths.items() if length > LINES} == {}


def test_modules_say_what_they_are():
    assert [_name(path) for path in ENGAGE if not ast.get_docstring(_tree(path))] == []


def test_public_functions_are_documented():
    def undocumented(path):
        if path.parent.name != "core" and not _is_below_the_routes(path):
            return []
        return [node.name for node in _public_functions(path) if not ast.get_docstring(node)]

    assert found(undocumented) == {}


def test_refusals_raised_are_in_the_docstring():
    def silent(path):
        if not _is_below_the_routes(path):
            return []
        return [
            f"{node.name}: {name}"
            for node in _public_functions(path)
            for name in sorted(_refusals_in(node))
            if name not in (ast.get_docstring(node) or "")
        ]

    assert found(silent) == {}


def _is_below_the_routes(path: Path) -> bool:
    rooms = {"service", "queries", "access"}
    return path.stem in rooms or path.parent.name in rooms


def _public_functions(path: Path) -> list[ast.FunctionDef]:
    return [
        node
        for node in _tree(path).body
        if isinstance(node, ast.FunctionDef) and not node.name.startswith("_")
    ]


def _refusals_in(function: ast.FunctionDef) -> set[str]:
    raised = {
        _dotted(node.exc.func if isinstance(node.exc, ast.Call) else node.exc)
        for node in ast.walk(function)
        if isinstance(node, ast.Raise) and node.exc
    }
    return {name for name in raised if name[0].isupper() and not hasattr(builtins, name)}


def test_features_have_the_same_rooms():
    strangers = [
        _name(entry)
        for feature in sorted((ROOT / "engage").iterdir())
        if feature.is_dir() and feature.name not in NOT_FEATURES and feature.name != "__pycache__"
        for entry in feature.iterdir()
        if entry.name != "__pycache__" and entry.stem not in FEATURE_FILES
    ]
    assert strangers == []


def test_only_the_gateway_and_the_doctor_call_other_servers():
    """So that no address that somebody sent is ever called; and neither follows a redirect or a proxy of the environment."""
    clients = re.compile(
        r"\b(?:httpx|urllib\.request|urllib3|requests|http\.client|aiohttp|ftplib|smtplib)\b"
    )
    calling = {
        name: called
        for name, called in found(
            lambda path: [module for module in _modules(path) if clients.fullmatch(module)]
        ).items()
        if not name.startswith("engage/wechat/fake/")
    }
    assert calling == {
        "engage/wechat/gateway.py": ["httpx"],
        "engage/cli/doctor.py": ["httpx"],
        "engage/cli/children.py": ["http.client"],  # whether the demo's own processes are up
    }
    for name in ("engage/wechat/gateway.py", "engage/cli/doctor.py"):
        made = re.findall(r"httpx\.Client\((.*?)\)", _text(ROOT / name))
        assert made
        assert all("trust_env=False" in given and "follow_redirects=True" not in given for given in made)


def test_secrets_are_compared_in_constant_time():
    """What is presented is compared with what is kept by ``hmac.compare_digest`` or found by its hash, never by ``==``."""
    compared = re.compile(
        r"(?i)\b\w*(?:secret|digest|signature|hash|token|password)\w*\s*[!=]=|[!=]=\s*\w*(?:secret|digest|signature|hash)\b"
    )
    found_by_hash = re.compile(
        r"\b[A-Z]\w+\.\w*_hash =="
    )  # by an index of the database: what is learnt is a part of a hash

    def by_hand(path):
        lines = (line.strip() for line in _text(path).splitlines())
        return [
            line
            for line in lines
            if compared.search(line) and not found_by_hash.search(line) and "len(" not in line
        ]

    assert set(found(by_hand)) == COMPARED


def _modules(path: Path) -> list[str]:
    return [
        name
        for node in ast.walk(_tree(path))
        if isinstance(node, ast.Import | ast.ImportFrom)
        for name in (
            [node.module or ""] if isinstance(node, ast.ImportFrom) else [alias.name for alias in node.names]
        )
    ]


def test_the_top_level_is_fixed():
    allowed = {
        ".ci", ".gitignore", "CONTRIBUTING.md", "LICENSE", "README.md", "SECURITY.md", "docs", "engage", "migrations", "openapi.yaml",
        "pyproject.toml", "requirements.lock", "tests", "wsgi.py",
    }  # fmt: skip
    assert {Path(name).parts[0] for name in _tracked()} <= allowed


def test_the_readme_names_every_package():
    readme = (ROOT / "README.md").read_text(encoding="utf-8")
    shown = re.search(r"^engage/\n(.*?)^migrations/", readme, re.DOTALL | re.MULTILINE)
    packages = {
        parts[1] for name in _tracked() if len(parts := Path(name).parts) > 2 and parts[0] == "engage"
    }
    assert shown
    assert packages == set(re.findall(r" (\w+)/ ", shown[1]))


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
