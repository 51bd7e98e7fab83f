"""Admission: the only code that gives and frees places, for every path.

What makes it right:

* The row of the activity is locked first (``FOR NO KEY UPDATE``; on SQLite the whole transaction is the only
  writer), so giving, freeing and promoting on one activity happen one after another.
* The decision is made on the locked row in the statement that inserts; nothing is decided on an older read.
* Triggers count, CHECKs refuse (models/activity.py): even a wrong statement cannot oversell.
* A partial unique index allows one live sign-up per person and activity; a violation undoes the whole statement.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final
from uuid import UUID

from sqlalchemy import JSON, Boolean, Connection, Uuid, bindparam, select, text, update
from sqlalchemy.exc import IntegrityError

from engage.activities.models import Activity, ActivityStatus, SignUp, SignUpState
from engage.core import ids
from engage.core.db import UtcDateTime
from engage.messages import service as messages
from engage.messages.models import MessageKind

if TYPE_CHECKING:
    from datetime import datetime

    from sqlalchemy import TextClause
    from sqlalchemy.orm import Session

    from engage.core.db import Work

_CAN_ENTER: Final = """
    id = :activity_id AND status = 'published' AND ends_at > :now
    AND (:by_staff OR (sign_up_opens_at <= :now AND sign_up_closes_at > :now))
    AND (taken < capacity AND waiting = 0 OR waiting < waitlist_capacity)
"""
_STATE: Final = "CASE WHEN taken < capacity AND waiting = 0 THEN 'confirmed' ELSE 'waitlisted' END"
_COLUMNS: Final = (
    "(id, activity_id, person_id, state, answers, starts_at, ends_at, created_at, updated_at, added_by)"
)


def _prepared(statement: str) -> TextClause:
    return text(statement).bindparams(
        bindparam("id", type_=Uuid()),
        bindparam("activity_id", type_=Uuid()),
        bindparam("person_id", type_=Uuid()),
        bindparam("added_by", type_=Uuid()),
        bindparam("answers", type_=JSON()),
        bindparam("now", type_=UtcDateTime()),
        bindparam("by_staff", type_=Boolean()),
    )


# One round trip: lock, decide, insert, answer. The turn in the queue is the number waiting on the locked row plus
# one, so it is exact at the moment of joining and no two people are told the same.
_ADMIT: Final = {
    "postgresql": _prepared(
        f"""
        WITH place AS (
            SELECT id, {_STATE} AS state, waiting + 1 AS turn, starts_at, ends_at FROM activity WHERE {_CAN_ENTER} FOR NO KEY UPDATE
        ), entry AS (
            INSERT INTO sign_up {_COLUMNS}
            SELECT :id, place.id, :person_id, place.state, :answers, place.starts_at, place.ends_at, :now, :now, :added_by FROM place
            RETURNING state
        )
        SELECT entry.state, place.turn FROM entry, place
        """  # noqa: S608 - constants of this module
    ),
    "sqlite": _prepared(
        f"""
        INSERT INTO sign_up {_COLUMNS}
        SELECT :id, id, :person_id, {_STATE}, :answers, starts_at, ends_at, :now, :now, :added_by FROM activity WHERE {_CAN_ENTER}
        RETURNING state, (SELECT waiting + 1 FROM activity WHERE id = :activity_id)
        """  # noqa: S608 - constants of this module
    ),
}


@dataclass(frozen=True, slots=True)
class Admission:
    """What somebody got: a place, or a turn in the queue (1 is next)."""

    sign_up_id: UUID
    state: SignUpState
    position: int | None


class AlreadyIn(Exception):
    """The person has a live sign-up already; nothing was changed."""


def admit(
    db: Connection | Session,
    activity_id: UUID,
    person_id: UUID,
    answers: dict[str, Any],
    now: datetime,
    *,
    added_by: UUID | None = None,
) -> Admission | None:
    """Give a place, or a turn in the queue; None when there is neither or the activity does not take anybody now.

    Staff (``added_by``) may add outside the sign-up window, until the end. On a reading connection this is one
    statement that is its own transaction.

    Raises:
        AlreadyIn: the person has a live sign-up.

    """
    sign_up_id = ids.new_id()
    values = {
        "id": sign_up_id,
        "activity_id": activity_id,
        "person_id": person_id,
        "added_by": added_by,
        "answers": answers,
        "now": now,
        "by_staff": added_by is not None,
    }
    bind = db if isinstance(db, Connection) else db.connection()
    try:
        row = db.execute(_ADMIT[bind.dialect.name], values).one_or_none()
    except IntegrityError as error:
        if _is_second_live(error):
            raise AlreadyIn from None
        raise
    if row is None:
        return None
    state = SignUpState(row[0])
    return Admission(sign_up_id, state, row[1] if state is SignUpState.WAITLISTED else None)


def _is_second_live(error: IntegrityError) -> bool:
    diagnosis = getattr(error.orig, "diag", None)
    if diagnosis is not None:
        return bool(diagnosis.constraint_name == "uq_sign_up_live")
    return "sign_up.activity_id, sign_up.person_id" in str(error.orig)


def lock(work: Work, activity_id: UUID) -> None:
    """Hold the row of an activity until the transaction ends; every freeing path begins with this."""
    work.session.execute(
        select(Activity.id).where(Activity.id == activity_id).with_for_update(key_share=True)
    )


def cancel(work: Work, sign_up_id: UUID, reason: str | None = None) -> None:
    """Cancel a live sign-up of a locked activity and promote whoever is next."""
    activity_id = work.session.execute(
        update(SignUp)
        .where(SignUp.id == sign_up_id)
        .values(
            state=SignUpState.CANCELLED,
            updated_at=work.now,
            cancelled_at=work.now,
            cancelled_by=work.actor.id,
            cancel_reason=reason,
            excused_at=None,
            excused_by=None,
            excuse_reason=None,
        )
        .returning(SignUp.activity_id)
        .execution_options(synchronize_session=False)
    ).scalar_one()
    promote(work, activity_id)


def promote(work: Work, activity_id: UUID) -> int:
    """Give the free places of a locked activity to the head of its queue, in order of arrival; return how many."""
    row = work.session.execute(
        select(
            Activity.capacity - Activity.taken, Activity.waiting, Activity.title, Activity.starts_at
        ).where(
            Activity.id == activity_id,
            Activity.status == ActivityStatus.PUBLISHED,
            Activity.ends_at > work.now,
        )
    ).one_or_none()
    if row is None:
        return 0
    free, waiting, title, starts_at = row
    if not free or not waiting:
        return 0
    first = (
        select(SignUp.seq)
        .where(SignUp.activity_id == activity_id, SignUp.state == SignUpState.WAITLISTED)
        .order_by(SignUp.rank, SignUp.seq)
        .limit(min(free, waiting))
    )
    promoted = work.session.scalars(
        update(SignUp)
        .where(SignUp.seq.in_(first))
        .values(state=SignUpState.CONFIRMED, promoted_at=work.now)
        .returning(SignUp.person_id)
        .execution_options(synchronize_session=False)
    ).all()
    for person_id in promoted:
        messages.enqueue(
            work.session, work.now, person_id, MessageKind.SIGN_UP_PROMOTED,
            activity_id=str(activity_id), title=title, starts_at=starts_at.isoformat(),
        )  # fmt: skip
    return len(promoted)
