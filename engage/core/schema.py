"""The revision that a database is at, and the newest. Told without Alembic, for which a server has no other use."""

from __future__ import annotations

from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Final

from sqlalchemy import String, column, inspect, select, table

if TYPE_CHECKING:
    from sqlalchemy import Connection

_PACKAGE: Final = Path(__file__).resolve().parents[1]
_VERSIONS: Final = "alembic_version"
_VERSION: Final = select(column("version_num", String())).select_from(table(_VERSIONS))


def scripts() -> Path:
    """Return the folder of the migrations: in the package when installed, beside it in a checkout."""
    installed = _PACKAGE / "migrations"
    return installed if installed.is_dir() else _PACKAGE.parent / "migrations"


@cache
def head() -> str:
    """Return the newest revision; files of migrations begin with theirs."""
    return max(path.name.partition("_")[0] for path in (scripts() / "versions").glob("[0-9]*_*.py"))


def current(connection: Connection) -> str | None:
    """Return the revision a database is at, None when it is empty."""
    return connection.scalar(_VERSION) if inspect(connection).has_table(_VERSIONS) else None


def is_at_head(connection: Connection) -> bool:
    """Say whether a database is at the newest revision."""
    return current(connection) == head()
