"""The audit log of a test, and a way to do to it what the database refuses."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import pytest
from reference import LOG_TABLES
from sqlalchemy import Connection, select, text

from engage.core.audit import AuditEntry
from engage.core.db import Database

_GUARDED = ("audit_entry", "audit_link")


@contextmanager
def unlocked(database: Database) -> Iterator[Connection]:
    """Yield a connection on which nothing guards the log: what its owner can do, and what the chain must find."""
    with database.writer.begin() as connection:
        if database.is_sqlite:
            guards = connection.execute(
                text("SELECT name, sql FROM sqlite_master WHERE type = 'trigger' AND tbl_name LIKE 'audit_%'")
            ).all()
            lift = [f"DROP TRIGGER {name}" for name, _ in guards]
            put_back = [sql for _, sql in guards]
        else:
            lift = [f"ALTER TABLE {table} DISABLE TRIGGER USER" for table in _GUARDED]
            lift += [f"GRANT ALL ON {table} TO CURRENT_USER" for table in _GUARDED]
            put_back = [f"ALTER TABLE {table} ENABLE TRIGGER USER" for table in _GUARDED]
            put_back += [
                f"REVOKE UPDATE, DELETE, TRUNCATE ON {table} FROM CURRENT_USER" for table in _GUARDED
            ]
        for statement in lift:
            connection.exec_driver_sql(statement)
        yield connection
        for statement in put_back:
            connection.exec_driver_sql(statement)


@pytest.fixture(autouse=True)
def _empty_log(database: Database) -> None:
    with unlocked(database) as connection:
        for table in LOG_TABLES:
            connection.exec_driver_sql(f"DELETE FROM {table}")


@pytest.fixture
def log(database: Database) -> Callable[[], list[Any]]:
    """Return a function that returns all entries, the oldest first."""

    def entries() -> list[Any]:
        with database.reading() as connection:
            return list(connection.execute(select(AuditEntry.__table__).order_by(AuditEntry.id)))

    return entries
