"""A long past: activities that are over and the sign-ups to them, written past the triggers and counted at the end."""

from __future__ import annotations

import json
from collections.abc import Iterator
from datetime import datetime, timedelta
from typing import Any

from sqlalchemy import Connection, bindparam, insert, text

from engage.activities.models import Activity, ActivityStatus, SignUp, SignUpState
from engage.core import ids
from engage.core.db import Database
from tests.benchmarks import data

ACTIVITIES = 10_000
SIGN_UPS = 1_000_000
_EACH = SIGN_UPS // ACTIVITIES
_AT_ONCE = 100  # activities in one round trip


def fill(database: Database, city: data.City, now: datetime) -> None:
    """Write the past of a city: three years of activities, each with a hundred people who had a place."""
    with database.writer.connect() as connection:
        asleep = _without_triggers(connection)
        for first in range(0, ACTIVITIES, _AT_ONCE):
            rows = [_activity(city, now, number) for number in range(first, first + _AT_ONCE)]
            connection.execute(insert(Activity), rows)
            _copy(connection, list(_sign_ups(city, rows, first)))
        _with_triggers(connection, asleep)
        connection.commit()
    data.settle(database.writer)


def _activity(city: data.City, now: datetime, number: int) -> dict[str, Any]:
    starts_at = now - timedelta(days=1, minutes=number * 155)
    return data.activity(
        project_id=city.project_id, org_id=city.org_id, hub_id=city.hub_id, now=now - timedelta(days=1200), number=number,
        capacity=_EACH, waitlist_capacity=20, starts_at=starts_at, status=ActivityStatus.SUMMARISED, closing_summary="圆满。",
        taken=_EACH,
    )  # fmt: skip


def _sign_ups(city: data.City, activities: list[dict[str, Any]], first: int) -> Iterator[dict[str, Any]]:
    for index, row in enumerate(activities, first):
        for turn in range(_EACH):
            person_id, _ = city.people[(index * _EACH + turn) % len(city.people)]
            signed_up_at = row["starts_at"] - timedelta(days=2)
            yield {
                "id": ids.new_id(), "activity_id": row["id"], "person_id": person_id, "state": SignUpState.CONFIRMED, "answers": {},
                "starts_at": row["starts_at"], "ends_at": row["ends_at"], "created_at": signed_up_at, "updated_at": signed_up_at,
            }  # fmt: skip


def _copy(connection: Connection, rows: list[dict[str, Any]]) -> None:
    if connection.dialect.name == "sqlite":
        connection.execute(insert(SignUp), rows)
        return
    names = list(rows[0])
    with connection.connection.cursor().copy(f"COPY sign_up ({', '.join(names)}) FROM STDIN") as copy:
        for row in rows:
            copy.write_row([json.dumps(value) if name == "answers" else value for name, value in row.items()])


def _without_triggers(connection: Connection) -> list[str]:
    if connection.dialect.name == "postgresql":
        connection.execute(text("ALTER TABLE sign_up DISABLE TRIGGER USER"))
        return []
    triggers = connection.execute(
        text("SELECT name, sql FROM sqlite_master WHERE type = 'trigger' AND tbl_name = :table").bindparams(
            bindparam("table", "sign_up")
        )
    ).all()
    for name, _ in triggers:
        connection.execute(text(f"DROP TRIGGER {name}"))
    return [sql for _, sql in triggers]


def _with_triggers(connection: Connection, asleep: list[str]) -> None:
    if connection.dialect.name == "postgresql":
        connection.execute(text("ALTER TABLE sign_up ENABLE TRIGGER USER"))
    for sql in asleep:
        connection.exec_driver_sql(sql)
