"""Migrations by Alembic, numbered, both ways, and whether they made what the models say."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from alembic import command
from alembic.autogenerate import compare_metadata
from alembic.config import Config
from alembic.migration import MigrationContext

from engage.core.db import Base
from engage.core.schema import scripts

if TYPE_CHECKING:
    from sqlalchemy import Connection


def _config(connection: Connection | None = None) -> Config:
    config = Config()
    config.set_main_option("script_location", str(scripts()))
    config.attributes["connection"] = connection
    return config


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
