"""Doing without a trigger for a moment, as the owner of the database can: to lay what no service leaves, and to clean up."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from sqlalchemy import Connection, text

_TABLES = {
    "sign_up_arrives": "sign_up",
    "lottery_draw_stays": "lottery_draw",
    "activity_keeps_admission": "activity",
}


@contextmanager
def lifted(connection: Connection, trigger: str) -> Iterator[None]:
    """Write without one trigger inside, in the transaction of a connection."""
    if connection.dialect.name == "sqlite":
        sql = connection.scalar(
            text("SELECT sql FROM sqlite_master WHERE type = 'trigger' AND name = :name"), {"name": trigger}
        )
        lift, put_back = f"DROP TRIGGER {trigger}", str(sql)
    else:
        table = f"ALTER TABLE {_TABLES[trigger]}"
        lift, put_back = f"{table} DISABLE TRIGGER {trigger}", f"{table} ENABLE TRIGGER {trigger}"
    connection.exec_driver_sql(lift)
    yield
    connection.exec_driver_sql(put_back)
