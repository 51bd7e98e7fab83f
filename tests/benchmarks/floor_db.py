"""The floor's databases: one driver connection for each thread, and the statements written by hand.

Reads are the very statements that the service sends (``sql.py``). Writes are as few and as short as the rules of the
service and its triggers allow. The caller and what they would meet are read at once, as in the service: a repetition and a
refusal are that one statement, a sign-up is one more.
"""

from __future__ import annotations

import re
import sqlite3
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta, timezone
from pathlib import Path
from typing import Any
from uuid import UUID

import orjson
import psycopg
from psycopg.types.json import Json

from engage.core import ids
from engage.core.config import Settings
from engage.core.db import WriterLock
from tests.benchmarks.sql import Role

SHANGHAI = timezone(timedelta(hours=8))
_OPENS = timedelta(hours=2)  # check-in, before the start

CALLER = """
SELECT person.name, person.birth_on, person.hometown_code, person.current_code, person.status,
    auth_session.ended_at, auth_session.expires_at
FROM person JOIN auth_session ON auth_session.person_id = person.id
WHERE person.id = :person AND auth_session.id = :session
"""
_MINE = """
SELECT id, state, created_at, CASE WHEN state = 'waitlisted' THEN (
    SELECT count(*) FROM sign_up ahead WHERE ahead.activity_id = :activity AND ahead.state = 'waitlisted'
    AND (ahead.rank, ahead.seq) <= (sign_up.rank, sign_up.seq)) END AS turn
FROM sign_up WHERE activity_id = :activity AND person_id = :person AND state <> 'cancelled'
"""
_TAKES = """
    activity.id = :activity AND status = 'published' AND ends_at > :now AND sign_up_opens_at <= :now
    AND sign_up_closes_at > :now AND (taken < capacity AND waiting = 0 OR waiting < waitlist_capacity)
"""
_WHY = "CASE WHEN sign_up_closes_at <= :now THEN 'sign_up_closed' ELSE 'activity_full' END"
_STATE = "CASE WHEN taken < capacity AND waiting = 0 THEN 'confirmed' ELSE 'waitlisted' END"
_COLUMNS = "id, activity_id, person_id, state, answers, starts_at, ends_at, created_at, updated_at"
# Where else they have a place at that time: the answer warns of it.
_CLASH = """
SELECT elsewhere.id, elsewhere.title FROM activity here
JOIN sign_up other ON other.person_id = :person AND other.ends_at > here.starts_at AND other.starts_at < here.ends_at
JOIN activity elsewhere ON elsewhere.id = other.activity_id
WHERE here.id = :activity AND other.state IN ('confirmed', 'offered') AND other.activity_id <> :activity
AND elsewhere.status = 'published' LIMIT 1
"""
# Who calls and, beside it, what they have or why they would get nothing; and where else they have a place.
MEETS = f"""
WITH mine AS ({_MINE}), clash AS ({_CLASH}), met AS (
    SELECT NULL AS why, mine.* FROM mine
    UNION ALL SELECT {_WHY}, NULL, NULL, NULL, NULL FROM activity
    WHERE id = :activity AND NOT ({_TAKES}) AND NOT EXISTS (SELECT 1 FROM mine)
)
{CALLER.partition("FROM")[0]}, met.*, clash.id, clash.title
FROM person JOIN auth_session ON auth_session.person_id = person.id LEFT JOIN met ON true LEFT JOIN clash ON true
WHERE person.id = :person AND auth_session.id = :session
"""
# What they got, or what they met after all: one statement, as a transaction of its own.
ADMIT = f"""
WITH mine AS ({_MINE}), place AS (
    SELECT id, {_STATE} AS state, waiting + 1 AS turn, starts_at, ends_at FROM activity
    WHERE {_TAKES} AND NOT EXISTS (SELECT FROM mine) FOR NO KEY UPDATE
), entry AS (
    INSERT INTO sign_up ({_COLUMNS})
    SELECT :id, :activity, :person, state, '{{}}', starts_at, ends_at, :now, :now FROM place RETURNING id
)
SELECT NULL AS why, entry.id, state, CAST(:now AS timestamptz), CASE WHEN state = 'waitlisted' THEN turn END FROM entry, place
UNION ALL SELECT NULL, id, state, created_at, turn FROM mine
UNION ALL SELECT {_WHY}, NULL, NULL, NULL, NULL FROM activity
WHERE id = :activity AND NOT EXISTS (SELECT FROM mine) AND NOT EXISTS (SELECT FROM place)
"""
ADMIT_SQLITE = f"""
INSERT INTO sign_up ({_COLUMNS}) SELECT :id, :activity, :person, {_STATE}, '{{}}', starts_at, ends_at, :now, :now
FROM activity WHERE {_TAKES} RETURNING NULL, id, state, created_at,
CASE WHEN state = 'waitlisted' THEN (SELECT waiting + 1 FROM activity WHERE id = :activity) END
"""
MISSED_SQLITE = f"SELECT {_WHY}, NULL, NULL, NULL, NULL FROM activity WHERE id = :activity"
LOCK = (
    "SELECT title, starts_at FROM activity WHERE id = :activity AND status = 'published' AND starts_at > :now"
)
CANCEL = """
UPDATE sign_up SET state = 'cancelled', cancelled_at = :now, cancelled_by = :person, updated_at = :now
WHERE activity_id = :activity AND person_id = :person AND state <> 'cancelled'
AND NOT EXISTS (SELECT 1 FROM check_in WHERE check_in.sign_up_id = sign_up.id)
"""
PROMOTE = """
UPDATE sign_up SET state = 'confirmed', promoted_at = :now, updated_at = :now WHERE seq = (
    SELECT seq FROM sign_up WHERE activity_id = :activity AND state = 'waitlisted' ORDER BY rank, seq LIMIT 1)
AND EXISTS (SELECT 1 FROM activity WHERE id = :activity AND taken < capacity)
RETURNING person_id
"""
TELL = """
INSERT INTO outbox (person_id, kind, params, created_at, available_at) VALUES (:promoted, 'sign_up_promoted', :params, :now, :now)
"""
CHECK_IN = """
INSERT INTO check_in (activity_id, person_id, sign_up_id, method, checked_in_at, arrived_at, updated_at)
SELECT :activity, :person, sign_up.id, 'code', :now, :now, :now FROM sign_up JOIN activity ON activity.id = sign_up.activity_id
WHERE sign_up.activity_id = :activity AND person_id = :person AND state = 'confirmed' AND status = 'published'
AND activity.starts_at <= :opened AND activity.ends_at > :now {share}
ON CONFLICT (activity_id, person_id) DO NOTHING RETURNING method, checked_in_at, arrived_at, left_at
"""
CHECKED_IN = """
SELECT method, checked_in_at, arrived_at, left_at FROM check_in WHERE activity_id = :activity AND person_id = :person
"""


class Postgres:
    """Prepared statements, autocommit."""

    def __init__(self, settings: Settings) -> None:
        self._url = settings.database_url.replace("+psycopg", "")
        self._local = threading.local()
        self._texts: dict[str, str] = {}

    def _connection(self) -> psycopg.Connection[Any]:
        try:
            return self._local.connection  # type: ignore[no-any-return]
        except AttributeError:
            self._local.connection = psycopg.connect(
                self._url, autocommit=True, options="-c timezone=Asia/Shanghai"
            )
            return self._local.connection  # type: ignore[no-any-return]

    def replay(self, statement: Any, values: dict[str, Any]) -> list[Any]:
        """Send a statement of the service."""
        parameters = [
            values[value.name] if isinstance(value, Role) else value for value in statement.parameters
        ]
        return psycopg.RawCursor(self._connection()).execute(statement.sql, parameters).fetchall()

    def run(self, statement: str, values: dict[str, Any]) -> list[Any]:
        """Send a statement written here, with ``:name`` for values."""
        text = self._texts.get(statement)
        if text is None:
            text = self._texts[statement] = _pyformat(statement)
        cursor = self._connection().execute(text, values)
        return cursor.fetchall() if cursor.description else []

    def admit(self, values: dict[str, Any]) -> Any:
        return self.run(ADMIT, values)[0]

    @contextmanager
    def writing(self, values: dict[str, Any]) -> Iterator[list[Any]]:
        """A transaction that holds the row of the activity."""
        with self._connection().transaction():
            yield self.run(LOCK + " FOR NO KEY UPDATE", values)

    @contextmanager
    def alone(self) -> Iterator[None]:
        """For one statement that is its own transaction."""
        yield

    def check_in(self, values: dict[str, Any]) -> list[Any]:
        return self.run(CHECK_IN.format(share="FOR SHARE OF sign_up"), values)

    @staticmethod
    def values(person: UUID, session: UUID, activity: UUID | None) -> dict[str, Any]:
        now = datetime.now(UTC)
        return {"person": person, "session": session, "activity": activity, "now": now, "opened": now + _OPENS, "id": ids.new_id()}  # fmt: skip

    at = staticmethod(lambda value: value)
    id = staticmethod(lambda value: value)
    json = staticmethod(lambda value: value)
    as_json = Json


def _pyformat(statement: str) -> str:
    return re.sub(r":(\w+)", r"%(\1)s", statement)


class Sqlite:
    """Writers queue as they do in the service."""

    def __init__(self, settings: Settings) -> None:
        self._path = settings.database_url.removeprefix("sqlite:///")
        self._sync = settings.sqlite_synchronous
        self._local = threading.local()
        self._lock = WriterLock(Path(self._path + ".lock-writer"))

    def _connection(self) -> sqlite3.Connection:
        try:
            return self._local.connection  # type: ignore[no-any-return]
        except AttributeError:
            connection = sqlite3.connect(self._path, timeout=10, isolation_level=None)
            for pragma in (
                "journal_mode=WAL",
                f"synchronous={self._sync}",
                "foreign_keys=ON",
                "cache_size=-8192",
            ):
                connection.execute(f"PRAGMA {pragma}")
            self._local.connection = connection
            return connection

    def replay(self, statement: Any, values: dict[str, Any]) -> list[Any]:
        """Send a statement of the service."""
        parameters = [
            values[value.name] if isinstance(value, Role) else value for value in statement.parameters
        ]
        return self._connection().execute(statement.sql, parameters).fetchall()

    def run(self, statement: str, values: dict[str, Any]) -> list[Any]:
        """Send a statement written here."""
        return self._connection().execute(statement, values).fetchall()

    def admit(self, values: dict[str, Any]) -> Any:
        with self.alone():
            rows = self.run(ADMIT_SQLITE, values)
        return (rows or self.run(MISSED_SQLITE, values))[0]

    @contextmanager
    def writing(self, values: dict[str, Any]) -> Iterator[list[Any]]:
        """A transaction; there is one writer."""
        with self.alone():
            connection = self._connection()
            connection.execute("BEGIN IMMEDIATE")
            yield self.run(LOCK, values)
            connection.execute("COMMIT")

    @contextmanager
    def alone(self) -> Iterator[None]:
        """The queue of writers."""
        self._lock.acquire()
        try:
            yield
        finally:
            self._lock.release()

    def check_in(self, values: dict[str, Any]) -> list[Any]:
        return self.run(CHECK_IN.format(share=""), values)

    @staticmethod
    def values(person: UUID, session: UUID, activity: UUID | None) -> dict[str, Any]:
        now = datetime.now(UTC)
        return {
            "person": person.hex, "session": session.hex, "activity": activity and activity.hex, "now": f"{now:%Y-%m-%d %H:%M:%S.%f}",
            "opened": f"{now + _OPENS:%Y-%m-%d %H:%M:%S.%f}", "id": ids.new_id().hex,
        }  # fmt: skip

    @staticmethod
    def at(value: str | None) -> datetime | None:
        return value and datetime.fromisoformat(value + "+00:00").astimezone(SHANGHAI)

    @staticmethod
    def id(value: str) -> str:
        return f"{value[:8]}-{value[8:12]}-{value[12:16]}-{value[16:20]}-{value[20:]}"

    json = staticmethod(orjson.loads)

    @staticmethod
    def as_json(value: Any) -> str:
        return orjson.dumps(value).decode()
