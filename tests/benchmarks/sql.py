"""The very statements that the service sends, taken down from a request, for the floor to send through the driver."""

from __future__ import annotations

from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any
from uuid import UUID

from flask import Flask
from sqlalchemy import event

from engage.core import clock
from tests.benchmarks.data import City


@dataclass(frozen=True)
class Role:
    """A value that differs from request to request: person, session, activity or now."""

    name: str


@dataclass(frozen=True)
class Statement:
    """SQL as the driver gets it, with roles in place of what differs."""

    sql: str
    parameters: Any  # a dict (psycopg) or a tuple (sqlite3)


def take_down(
    app: Flask, city: City, now: datetime, activity_id: UUID, who: int, path: str
) -> list[Statement]:
    """Return the statements of one request by one person about one activity."""
    person, session = city.people[who]
    roles = {person: "person", session: "session", activity_id: "activity"}
    known: dict[Any, str] = {
        **roles,
        **{value.hex: name for value, name in roles.items()},
        now: "now",
        now.astimezone(UTC).strftime("%Y-%m-%d %H:%M:%S.%f"): "now",
    }
    with _listening(app) as sent:
        clock.use(lambda: now)
        try:
            answer = app.test_client().get(path, headers={"Authorization": f"Bearer {city.tokens[who]}"})
        finally:
            clock.use(None)
    if answer.status_code != 200:
        raise RuntimeError(f"{path}: {answer.status_code} {answer.get_data(as_text=True)}")
    return [Statement(sql, _roles(parameters, known)) for sql, parameters in sent]


def _roles(parameters: Any, known: dict[Any, str]) -> Any:
    if isinstance(parameters, dict):
        return {key: _role(value, known) for key, value in parameters.items()}
    return tuple(_role(value, known) for value in parameters)


def _role(value: Any, known: dict[Any, str]) -> Any:
    if isinstance(value, datetime | str | UUID) and not isinstance(value, bool) and value in known:
        return Role(known[value])
    return value


@contextmanager
def _listening(app: Flask) -> Any:
    sent: list[tuple[str, Any]] = []

    def note(_connection: Any, _cursor: Any, statement: str, parameters: Any, *_: Any) -> None:
        if not statement.startswith(("BEGIN", "COMMIT")):
            sent.append((statement, parameters))

    database = app.extensions["engage.database"]
    for engine in (database.reader, database.writer):
        event.listen(engine, "before_cursor_execute", note)
    try:
        yield sent
    finally:
        for engine in (database.reader, database.writer):
            event.remove(engine, "before_cursor_execute", note)
