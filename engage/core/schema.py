"""The database schema: migrations by Alembic, numbered, both ways."""

from __future__ import annotations

from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

from alembic import command
from alembic.autogenerate import compare_metadata
from alembic.config import Config
from alembic.migration import MigrationContext
from alembic.script import ScriptDirectory

from engage.core.db import Base

if TYPE_CHECKING:
    from sqlalchemy import Connection

_PACKAGE = Path(__file__).resolve().parents[1]


def _scripts() -> Path:
    installed = _PACKAGE / "migrations"
    return installed if installed.is_dir() else _PACKAGE.parent / "migrations"


def _config(connection: Connection | None = None) -> Config:
    config = Config()
    config.set_main_option("script_location", str(_scripts()))
    config.attributes["connection"] = connection
    return config


@cache
def head() -> str:
    """Return the newest revision."""
    newest = ScriptDirectory.from_config(_config()).get_current_head()
    if newest is None:
        raise RuntimeError("there are no migrations")
    return newest


def current(connection: Connection) -> str | None:
    """Return the revision a database is at, None when it is empty."""
    return MigrationContext.configure(connection).get_current_revision()


def is_at_head(connection: Connection) -> bool:
    """Say whether a database is at the newest revision."""
    return current(connection) == head()


def upgrade(connection: Connection, revision: str = "head") -> None:
    """Migrate up to a revision."""
    command.upgrade(_config(connection), revision)


def downgrade(connection: Connection, revision: str) -> None:
    """Migrate down to a revision (``base``: an empty database)."""
    command.downgrade(_config(connection), revision)


def drift(connection: Connection) -> list[Any]:
    """Return the differences between the database and the models; empty when they agree."""
    context = MigrationContext.configure(
        connection, opts={"compare_type": True, "target_metadata": Base.metadata}
    )
    return list(compare_metadata(context, Base.metadata))
