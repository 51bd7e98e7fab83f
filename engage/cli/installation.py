"""What most commands need: the settings and a database in a known state."""

from __future__ import annotations

from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

from sqlalchemy import make_url

from engage.cli.faults import Fault
from engage.core import schema
from engage.core.db import Database

if TYPE_CHECKING:
    from collections.abc import Iterator

    from engage.core.config import Settings


def sqlite_file(settings: Settings) -> Path | None:
    """Return the database file, None on PostgreSQL."""
    return Path(str(make_url(settings.database_url).database)).absolute() if settings.is_sqlite else None


@contextmanager
def open_database(settings: Settings, *, may_create: bool = False) -> Iterator[Database]:
    """Yield the database, whatever its schema.

    Raises:
        Fault: the SQLite file does not exist and is not to be made.

    """
    file = sqlite_file(settings)
    if file is not None and not may_create and not file.exists():
        raise Fault(
            f"还没有数据库 {file}，请先运行 engage db upgrade。",
            "There is no such database; run `engage db upgrade` first.",
        )
    database = Database(settings)
    try:
        yield database
    finally:
        database.dispose()


@contextmanager
def database_at_head(settings: Settings) -> Iterator[Database]:
    """Yield the database when its schema is the one this release needs.

    Raises:
        Fault: it is not.

    """
    with open_database(settings) as database:
        with database.reading() as connection:
            revision = schema.current(connection)
        if revision != schema.head():
            raise Fault(
                f"数据库结构版本是 {revision or '空'}，程序需要 {schema.head()}，请运行 engage db upgrade。",
                f"The database is at {revision or 'nothing'}, this release needs {schema.head()}: "
                "run `engage db upgrade`.",
            )
        yield database
