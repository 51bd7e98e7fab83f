"""Writing to the outbox."""

from __future__ import annotations

from typing import TYPE_CHECKING

from sqlalchemy import insert

from engage.messages.models import MessageKind, OutboxEntry

if TYPE_CHECKING:
    from collections.abc import Iterable
    from datetime import datetime
    from uuid import UUID

    from sqlalchemy import Connection
    from sqlalchemy.orm import Session


def enqueue(
    db: Session | Connection, now: datetime, person_id: UUID, kind: MessageKind, **params: str
) -> None:
    """Leave a message for a person in the running transaction; the worker delivers it once that is committed.

    Args:
        db: the session or connection whose transaction the message tells about.
        now: the instant of the use case.
        person_id: who is told.
        kind: what happened.
        params: text for each of ``kind.parameters``: ids, titles, reasons, ISO 8601 instants; never contact data.

    Raises:
        ValueError: a parameter is missing, unknown or not a text.

    """
    enqueue_all(db, now, [person_id], kind, **params)


def enqueue_all(
    db: Session | Connection,
    now: datetime,
    person_ids: Iterable[UUID],
    kind: MessageKind,
    **params: str,
) -> None:
    """Leave the same message for several people, in one statement; see ``enqueue``."""
    if kind.parameters != params.keys() or not all(isinstance(value, str) for value in params.values()):
        raise ValueError(f"{kind} takes the texts {sorted(kind.parameters)}, not {sorted(params)}")
    rows = [
        {"person_id": person_id, "kind": kind.value, "params": params, "created_at": now, "available_at": now}
        for person_id in person_ids
    ]
    if rows:
        db.execute(insert(OutboxEntry), rows)
