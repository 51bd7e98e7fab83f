"""How many SQL statements a block of a test sends."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from flask import Flask
from sqlalchemy import event

# Read once in ten seconds by each process, whatever is asked of it.
_NOT_OF_A_REQUEST = "FROM signing_key"
_NOT_COUNTED = ("BEGIN", "COMMIT", "ROLLBACK", "PRAGMA", "SAVEPOINT", "RELEASE")


@contextmanager
def count_statements(app: Flask) -> Iterator[list[str]]:
    """Yield the list of statements that both engines send; transaction control is not counted."""
    sent: list[str] = []

    def note(_connection, _cursor, statement, *_):
        if not statement.lstrip().upper().startswith(_NOT_COUNTED) and _NOT_OF_A_REQUEST not in statement:
            sent.append(statement)

    database = app.extensions["engage.database"]
    engines = (database.writer, database.reader)
    for engine in engines:
        event.listen(engine, "before_cursor_execute", note)
    try:
        yield sent
    finally:
        for engine in engines:
            event.remove(engine, "before_cursor_execute", note)
