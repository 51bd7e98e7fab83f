"""Alembic environment: runs on the connection that ``engage.core.migrations`` hands over."""

from __future__ import annotations

from alembic import context

from engage.core.db import Base

context.configure(
    connection=context.config.attributes["connection"],
    target_metadata=Base.metadata,
    render_as_batch=True,
    transaction_per_migration=True,
)
with context.begin_transaction():
    context.run_migrations()
