"""How sign-ups change that are neither joining nor promoted: accepted offers, turns that end, places taken back, walk-ins, refusals.

All of a locked activity. With admission.py, joining.py and filling.py this is all that writes the state of a sign-up.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final
from uuid import UUID

from sqlalchemy import insert, select, update

from engage.activities.models import Activity, ActivityStatus, CancelCause, SignUp, SignUpState
from engage.activities.service.filling import fill
from engage.activities.service.quiet import audible
from engage.messages import service as messages
from engage.messages.models import MessageKind

if TYPE_CHECKING:
    from collections.abc import Sequence

    from sqlalchemy import ColumnElement, Select

    from engage.core.db import Work

# What somebody without a place has not.
_NO_PLACE: Final[dict[str, Any]] = {"pool": None, "held_until": None, "offer_expires_at": None}
# Calling an activity off leaves its queue as it is; a summary does not.
QUEUE_MOVES: Final = (ActivityStatus.PUBLISHED, ActivityStatus.SUMMARISED)


def confirm_offer(work: Work, sign_up_id: UUID) -> None:
    """Make the place that is kept for somebody theirs."""
    _write(
        work,
        SignUp.id == sign_up_id,
        state=SignUpState.CONFIRMED,
        offer_expires_at=None,
        promoted_at=work.now,
    )


def end_all(
    work: Work, activity_id: UUID, cause: CancelCause, told: MessageKind, *which: ColumnElement[bool]
) -> int:
    """End some sign-ups, tell the people unless it is over, and give what became free; return how many ended."""
    people = _write(
        work, SignUp.activity_id == activity_id, *which,
        **_NO_PLACE, state=SignUpState.CANCELLED, cancelled_at=work.now, cancel_cause=cause,
    )  # fmt: skip
    if not people:
        return 0
    about = work.session.execute(
        select(Activity.title, Activity.ends_at, Activity.quiet_from, Activity.quiet_until).where(
            Activity.id == activity_id
        )
    ).one()
    if work.now < about.ends_at:
        messages.enqueue_all(
            work.session, work.now, people, told,
            not_before=audible(about, work.now), activity_id=str(activity_id), title=about.title,
        )  # fmt: skip
    fill(work, activity_id)
    return len(people)


def close_queue(work: Work, activity_id: UUID) -> int:
    """End the turns of those whom no place reached, if the queue has closed by now; return how many."""
    closed = select(Activity.id).where(
        Activity.id == activity_id, Activity.queue_closes_at <= work.now, Activity.status.in_(QUEUE_MOVES)
    )
    return end_all(
        work,
        activity_id,
        CancelCause.QUEUE_CLOSED,
        MessageKind.QUEUE_CLOSED,
        SignUp.state == SignUpState.WAITLISTED,
        closed.exists(),
    )


def back_to_queue(work: Work, which: Select[Any]) -> int:
    """Take the places of some sign-ups, selected by ``seq``; return how many. They keep their rank and arrival."""
    people = _write(
        work, SignUp.seq.in_(which),
        **_NO_PLACE, state=SignUpState.WAITLISTED, offered_at=None, promoted_at=None,
    )  # fmt: skip
    return len(people)


def refuse(work: Work, sign_up_ids: Sequence[UUID]) -> None:
    """Refuse applications, also those that wait in the queue."""
    if sign_up_ids:
        _write(work, SignUp.id.in_(sign_up_ids), state=SignUpState.REFUSED, held_until=None)


def walk_in(work: Work, sign_up_ids: Sequence[UUID], rows: Sequence[dict[str, Any]]) -> None:
    """Admit who came to the door beside the capacity: people with a sign-up that holds no confirmed place, and rows of new ones."""
    if sign_up_ids:
        _write(work, SignUp.id.in_(sign_up_ids), **_NO_PLACE, state=SignUpState.WALK_IN)
    if rows:
        admitted = {"state": SignUpState.WALK_IN, "created_at": work.now, "updated_at": work.now}
        work.session.execute(insert(SignUp.__table__), [{**row, **admitted} for row in rows])  # type: ignore[arg-type]


def _write(work: Work, *which: ColumnElement[bool], **values: Any) -> Sequence[UUID]:
    return work.session.scalars(
        update(SignUp)
        .where(*which)
        .values(**values, updated_at=work.now)
        .returning(SignUp.person_id)
        .execution_options(synchronize_session=False)
    ).all()
