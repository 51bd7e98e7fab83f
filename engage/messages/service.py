"""Writing to the outbox, delivering from it, reading messages."""

from __future__ import annotations

import logging
from collections import defaultdict
from collections.abc import Callable, Iterable
from datetime import datetime, timedelta
from typing import TYPE_CHECKING, Any, Final

from sqlalchemy import delete, exists, func, insert, literal, select, update

from engage.core import clock, ids
from engage.core.columns import UtcDateTime
from engage.core.db import upserting
from engage.identity.service.notices import Notice, tell_with
from engage.messages.errors import NoSuchMessage
from engage.messages.models import Message, MessageKind, OutboxEntry

if TYPE_CHECKING:
    from uuid import UUID

    from sqlalchemy import ColumnElement, Connection
    from sqlalchemy.orm import Session

    from engage.core.db import Database, Work

_BATCH: Final = 100
_FIRST_PAUSE: Final = timedelta(seconds=10)
_LONGEST_PAUSE: Final = timedelta(hours=1)
_OUTBOX_KEPT: Final = timedelta(days=30)
# The table and not the entity: a promotion in a rush tells one person, and the ORM's way of many rows costs thrice as much.
_OUTBOX: Final[Any] = OutboxEntry.__table__

log = logging.getLogger("engage.messages")


def enqueue(
    db: Session | Connection,
    now: datetime,
    person_id: UUID,
    kind: MessageKind,
    *,
    not_before: datetime | None = None,
    **params: str,
) -> None:
    """Leave a message for a person in the running transaction; the worker delivers it once that is committed.

    Args:
        db: the session or connection whose transaction the message tells about.
        now: the instant of the use case.
        person_id: who is told.
        kind: what happened.
        not_before: when it may be delivered, by default at once; what it is about happened ``now`` all the same.
        params: text for each of ``kind.parameters``: ids, titles, reasons, ISO 8601 instants; never contact data.

    Raises:
        ValueError: a parameter is missing, unknown or not a text.

    """
    enqueue_all(db, now, [person_id], kind, not_before=not_before, **params)


def enqueue_all(
    db: Session | Connection,
    now: datetime,
    person_ids: Iterable[UUID],
    kind: MessageKind,
    *,
    not_before: datetime | None = None,
    **params: str,
) -> None:
    """Leave the same message for several people, in one statement; see ``enqueue``."""
    enqueue_each(db, now, kind, ((person_id, params) for person_id in person_ids), not_before=not_before)


def enqueue_each(
    db: Session | Connection,
    now: datetime,
    kind: MessageKind,
    letters: Iterable[tuple[UUID, dict[str, str]]],
    *,
    not_before: datetime | None = None,
) -> None:
    """Leave a message of the same kind for several people, each with params of their own, in one statement; see ``enqueue``.

    Raises:
        ValueError: a parameter is missing, unknown or not a text.

    """
    rows = []
    for person_id, params in letters:
        if kind.parameters != params.keys() or not all(isinstance(value, str) for value in params.values()):
            raise ValueError(f"{kind} takes the texts {sorted(kind.parameters)}, not {sorted(params)}")
        rows.append(
            {
                "person_id": person_id,
                "kind": kind.value,
                "params": params,
                "created_at": now,
                "available_at": not_before or now,
            }
        )
    if rows:
        db.execute(insert(_OUTBOX), rows if len(rows) > 1 else rows[0])


_NOTICES: Final = {notice: MessageKind(notice.value) for notice in Notice}


def _tell_of_account(
    work: Work, person_id: UUID, notice: Notice, subject_id: UUID, params: dict[str, str]
) -> None:
    kind = _NOTICES[notice]
    letter = (person_id, {f"{kind.subject}_id": str(subject_id), **params})
    enqueue_each(work.session, work.now, kind, [letter])


tell_with(_tell_of_account)


Recheck = Callable[["Session", list[Any]], dict[int, dict[str, Any]]]
_rechecks: Final[dict[str, Recheck]] = {}


def recheck_with(kinds: Iterable[MessageKind], recheck: Recheck) -> None:
    """Let a feature look again at entries of some kinds that had to wait, when they are about to be delivered.

    ``recheck`` gets the entries and returns, by ``seq``, the params of those that are still true, as they are by now. The others are dropped.
    """
    _rechecks.update(dict.fromkeys(kinds, recheck))


def _still_true(session: Session, entries: Iterable[Any]) -> dict[int, dict[str, Any]]:
    """Return the params of the entries that are to be delivered, by ``seq``."""
    true: dict[int, dict[str, Any]] = {}
    waited: defaultdict[Recheck, list[Any]] = defaultdict(list)
    for entry in entries:
        recheck = _rechecks.get(entry.kind) if entry.available_at > entry.created_at else None
        if recheck is None:
            true[entry.seq] = entry.params
        else:
            waited[recheck].append(entry)
    for recheck, its in waited.items():
        true |= recheck(session, its)
    return true


def deliver_due(database: Database, limit: int = _BATCH) -> int:
    """Put what is due in the outbox into the inboxes, at most ``limit`` entries; return how many were delivered.

    What had to wait and is no longer true is dropped, and counts as delivered.
    Several workers may run: on PostgreSQL each takes entries that no other has locked. An entry makes one message
    even if it is delivered twice. One that fails is tried again after 20 s, 40 s and so on up to an hour.
    """
    with database.reading() as connection:
        if not connection.scalar(select(exists().where(_due(clock.now())))):
            return 0  # without this look, each idle round would queue for the writer of a SQLite file
    with database.transaction() as session:
        now = clock.now()
        entries = session.execute(
            select(OutboxEntry.__table__)
            .where(_due(now))
            .order_by(OutboxEntry.available_at, OutboxEntry.seq)
            .limit(limit)
            .with_for_update(skip_locked=True)
        ).all()
        true = _still_true(session, entries)
        delivered = [
            entry.seq
            for entry in entries
            if entry.seq not in true or _try_to_deliver(session, entry, true[entry.seq], now)
        ]
        session.execute(update(OutboxEntry).where(OutboxEntry.seq.in_(delivered)).values(delivered_at=now))
    return len(delivered)


def _due(now: datetime) -> ColumnElement[bool]:
    return OutboxEntry.delivered_at.is_(None) & (OutboxEntry.available_at <= now)


def _try_to_deliver(session: Session, entry: Any, params: dict[str, Any], now: datetime) -> bool:
    try:
        with session.begin_nested():
            _deliver(session, entry, params)
    except Exception as error:  # one entry that cannot be delivered must not stop the others
        log.warning("not delivered", exc_info=error, extra={"fields": {"seq": entry.seq, "kind": entry.kind}})
        pause = min(_FIRST_PAUSE * 2 ** min(entry.attempts + 1, 16), _LONGEST_PAUSE)
        session.execute(
            update(OutboxEntry)
            .where(OutboxEntry.seq == entry.seq)
            .values(attempts=entry.attempts + 1, available_at=now + pause)
        )
        return False
    return True


def _deliver(session: Session, entry: Any, params: dict[str, Any]) -> None:
    session.execute(
        upserting(session, Message)
        .values(
            id=ids.new_id(),
            person_id=entry.person_id,
            outbox_seq=entry.seq,
            kind=entry.kind,
            params=params,
            created_at=entry.created_at,
        )
        .on_conflict_do_nothing(index_elements=["outbox_seq"])
    )


def mark_read(work: Work, message_id: UUID) -> None:
    """Note when the caller read a message; the first time counts.

    Raises:
        NoSuchMessage: there is none, or it is somebody else's.

    """
    result = work.session.execute(
        update(Message)
        .where(Message.id == message_id, Message.person_id == work.actor.id)
        .values(read_at=func.coalesce(Message.read_at, literal(work.now, UtcDateTime())))
        .execution_options(synchronize_session=False)
    )
    if not result.rowcount:  # type: ignore[attr-defined]
        raise NoSuchMessage


def purge(session: Session, now: datetime) -> int:
    """Delete what was delivered more than 30 days ago from the outbox; return how many entries.

    The newest entry stays: SQLite would give its number to the next one, which would then pass for delivered.
    """
    newest = select(func.max(OutboxEntry.seq)).scalar_subquery()
    result = session.execute(
        delete(OutboxEntry)
        .where(OutboxEntry.delivered_at <= now - _OUTBOX_KEPT, OutboxEntry.seq < newest)
        .execution_options(synchronize_session=False)
    )
    return int(result.rowcount)  # type: ignore[attr-defined]
