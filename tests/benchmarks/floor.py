"""The floor: bare WSGI, the same SQL through the driver, tokens verified as strongly, the same answer.

Everything a framework, an ORM or a schema could be blamed for is absent. Statements come from ``sql.py``; only the
unpacking of their rows is written by hand, and the benchmark first compares its answers with those of the service.
"""

from __future__ import annotations

import base64
import hashlib
import hmac
import os
import pickle
import sqlite3
import threading
import time
from collections.abc import Iterable
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta, timezone
from pathlib import Path
from typing import Any
from uuid import UUID

import orjson
import psycopg
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from psycopg.types.json import Json

from engage.core import ids
from engage.core.config import Settings
from engage.core.db import WriterLock
from tests.benchmarks.sql import Role

_SHANGHAI = timezone(timedelta(hours=8))
_PLAN = pickle.loads(Path(os.environ["BENCHMARK_PLAN"]).read_bytes())


class Unauthorised(Exception):
    pass


class Tokens:
    """EdDSA, each token verified in full once and then known, as in the service."""

    def __init__(self, settings: Settings) -> None:
        self._key = Ed25519PrivateKey.from_private_bytes(settings.key("access-token")).public_key()
        self._known: dict[str, tuple[UUID, UUID, int]] = {}

    def __call__(self, header: str) -> tuple[UUID, UUID]:
        known = self._known.get(header)
        if known is None:
            known = self._known[header] = self._verify(header)
        if known[2] <= time.time():
            raise Unauthorised
        return known[:2]

    def _verify(self, header: str) -> tuple[UUID, UUID, int]:
        signed, _, signature = header.removeprefix("Bearer ").rpartition(".")
        self._key.verify(base64.urlsafe_b64decode(signature + "=="), signed.encode())
        payload = signed.partition(".")[2]
        claims = orjson.loads(base64.urlsafe_b64decode(payload + "=" * (-len(payload) % 4)))
        if claims["iss"] != "engage" or claims["aud"] != "engage-api" or claims["type"] != "access":
            raise Unauthorised
        return UUID(claims["sub"]), UUID(claims["sid"]), claims["exp"]


class Postgres:
    """One connection for each thread, prepared statements, autocommit."""

    def __init__(self, settings: Settings) -> None:
        self._url = settings.database_url.replace("+psycopg", "")
        self._local = threading.local()

    def _connection(self) -> psycopg.Connection[Any]:
        try:
            return self._local.connection  # type: ignore[no-any-return]
        except AttributeError:
            self._local.connection = psycopg.connect(
                self._url, autocommit=True, options="-c timezone=Asia/Shanghai"
            )
            return self._local.connection  # type: ignore[no-any-return]

    def run(self, statement: Any, values: dict[str, Any]) -> list[Any]:
        parameters = {
            key: values[value.name] if isinstance(value, Role) else value
            for key, value in statement.parameters.items()
        }
        return self._connection().execute(statement.sql, parameters).fetchall()

    @contextmanager
    def writing(self) -> Any:
        yield

    @staticmethod
    def values(person: UUID, session: UUID, activity: UUID | None) -> dict[str, Any]:
        return {
            "person": person,
            "session": session,
            "activity": activity,
            "now": datetime.now(UTC),
            "new_id": ids.new_id(),
            "json": Json({}),
        }

    at = staticmethod(lambda value: value)
    id = staticmethod(lambda value: value)
    json = staticmethod(lambda value: value)


class Sqlite:
    """One connection for each thread; writers queue as they do in the service."""

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

    def run(self, statement: Any, values: dict[str, Any]) -> list[Any]:
        parameters = tuple(
            [values[value.name] if isinstance(value, Role) else value for value in statement.parameters]
        )
        return self._connection().execute(statement.sql, parameters).fetchall()

    @contextmanager
    def writing(self) -> Any:
        self._lock.acquire()
        try:
            connection = self._connection()
            connection.execute("BEGIN IMMEDIATE")
            yield
            connection.execute("COMMIT")
        finally:
            self._lock.release()

    @staticmethod
    def values(person: UUID, session: UUID, activity: UUID | None) -> dict[str, Any]:
        now = datetime.now(UTC).strftime("%Y-%m-%d %H:%M:%S.%f")
        return {
            "person": person.hex, "session": session.hex, "activity": activity and activity.hex, "now": now,
            "new_id": ids.new_id().hex, "json": "{}",
        }  # fmt: skip

    @staticmethod
    def at(value: str | None) -> datetime | None:
        return value and datetime.fromisoformat(value + "+00:00").astimezone(_SHANGHAI)

    @staticmethod
    def id(value: str) -> str:
        return f"{value[:8]}-{value[8:12]}-{value[12:16]}-{value[16:20]}-{value[20:]}"

    json = staticmethod(orjson.loads)


class Floor:
    """List, detail and sign-up."""

    def __init__(self) -> None:
        settings = Settings.from_env()
        self._tokens = Tokens(settings)
        self._db: Postgres | Sqlite = Sqlite(settings) if settings.is_sqlite else Postgres(settings)
        self._secret = settings.key("cursor")
        self.extensions = {"engage.database": self}

    def dispose(self, *, close: bool = True) -> None:
        """Connections are opened after the fork."""

    def __call__(self, environ: dict[str, Any], start_response: Any) -> Iterable[bytes]:
        try:
            person, session = self._tokens(environ["HTTP_AUTHORIZATION"])
        except Exception:
            start_response("401 Unauthorized", [("Content-Length", "0")])
            return []
        path = environ["PATH_INFO"]
        if environ["REQUEST_METHOD"] == "PUT":
            orjson.loads(environ["wsgi.input"].read())
            status, payload = self._sign_up(person, session, UUID(path[15:51]))
        elif path == "/v1/activities":
            status, payload = "200 OK", self._list(person, session)
        else:
            status, payload = "200 OK", self._detail(person, session, UUID(path[15:51]))
        body = orjson.dumps(payload, option=orjson.OPT_OMIT_MICROSECONDS)
        start_response(status, [("Content-Type", "application/json"), ("Content-Length", str(len(body)))])
        return [body]

    def _list(self, person: UUID, session: UUID) -> dict[str, Any]:
        values = self._db.values(person, session, None)
        rows = [self._db.run(statement, values) for statement in _PLAN["sql"]["list"]][-1]
        now = datetime.now(UTC)
        items = [self._card(row, now) for row in rows[:20]]
        return {"items": items, "next_cursor": self._cursor(rows[19][12], rows[19][0])}

    def _cursor(self, starts_at: Any, activity_id: Any) -> str:
        payload = base64.urlsafe_b64encode(orjson.dumps([["t", starts_at], ["u", activity_id]]))
        return (
            payload + b"." + base64.urlsafe_b64encode(hmac.digest(self._secret, payload, hashlib.sha256))
        ).decode()

    def _detail(self, person: UUID, session: UUID, activity: UUID) -> dict[str, Any]:
        values = self._db.values(person, session, activity)
        row = [self._db.run(statement, values) for statement in _PLAN["sql"]["detail"]][-1][0]
        (
            summary, org_id, org, county_codes, questions, service_minutes, status_reason, closing_summary, version, can_manage,
            sign_up_id, state, turn, created_at, _, checked_in_at,
        ) = row[23:39]  # fmt: skip
        mine = None
        if sign_up_id is not None:
            mine = {
                "id": self._db.id(sign_up_id), "state": state, "position": turn, "created_at": self._db.at(created_at),
                "checked_in_at": self._db.at(checked_in_at), "attendance": None,
            }  # fmt: skip
        return {
            **self._card(row[:23], datetime.now(UTC)),
            "summary": summary,
            "org": {"id": self._db.id(org_id), "name": org},
            "county_codes": self._db.json(county_codes),
            "questions": self._db.json(questions),
            "service_minutes": service_minutes,
            "status_reason": status_reason,
            "closing_summary": closing_summary,
            "version": version,
            "can_manage": bool(can_manage),
            "my_sign_up": mine,
        }

    def _card(self, row: Any, now: datetime) -> dict[str, Any]:
        (
            activity_id, title, status, project_id, project, hub_id, hub, place_name, address, lat, lng, county_code, starts_at,
            ends_at, opens_at, closes_at, capacity, taken, waitlist_capacity, waiting, min_age, max_age, members_only,
        ) = row  # fmt: skip
        id_, at = self._db.id, self._db.at
        opens_at, closes_at = at(opens_at), at(closes_at)
        return {
            "id": id_(activity_id), "title": title,
            "state": "registration_open" if status == "published" and opens_at <= now < closes_at else "published",
            "project": {"id": id_(project_id), "name": project}, "hub": {"id": id_(hub_id), "name": hub} if hub_id else None,
            "place": {"name": place_name or hub, "address": address, "position": None if lat is None else {"lat": lat, "lng": lng}},
            "county_code": county_code, "starts_at": at(starts_at), "ends_at": at(ends_at), "sign_up_opens_at": opens_at,
            "sign_up_closes_at": closes_at, "capacity": capacity, "places_left": capacity - taken,
            "waitlist_capacity": waitlist_capacity, "waiting": waiting, "min_age": min_age, "max_age": max_age,
            "members_only": bool(members_only), "distance_m": None,
        }  # fmt: skip

    def _sign_up(self, person: UUID, session: UUID, activity: UUID) -> tuple[str, dict[str, Any]]:
        values = self._db.values(person, session, activity)
        *before, admit = _PLAN["sql"]["sign-up"]
        for statement in before:
            if not self._db.run(statement, values):
                return "404 Not Found", {"code": "no_such_activity"}
        with self._db.writing():
            rows = self._db.run(admit, values)
        if not rows:
            return "409 Conflict", {"code": "activity_full"}
        state, turn = rows[0]
        return "200 OK", {
            "id": values["new_id"] if isinstance(values["new_id"], UUID) else self._db.id(values["new_id"]), "state": state,
            "position": turn if state == "waitlisted" else None, "created_at": datetime.now(_SHANGHAI), "checked_in_at": None,
            "attendance": None, "answers": [],
        }  # fmt: skip


application = Floor()
