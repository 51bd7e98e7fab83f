"""How sign-ups change that are neither joining nor promoted: accepted offers, turns that end, places taken back, walk-ins, refusals.

All of a locked activity. With admission.py, joining.py and filling.py this is all that writes the state of a sign-up.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final
from uuid import UUID

from sqlalchemy import exists, insert, literal_column, select, update

from engage.activities.models import (
    Activity,
    ActivityStatus,
    AdmissionMode,
    CancelCause,
    SignUp,
    SignUpState,
)
from engage.activities.queries.review import too_late_to_decide
from engage.activities.service.filling import fill
from engage.activities.service.quiet import audible
from engage.messages import service as messages
from engage.messages.models import MessageKind

if TYPE_CHECKING:
    from collections.abc import Sequence
    from datetime import datetime

    from sqlalchemy import ColumnElement, Select

    from engage.core.db import Work

# What somebody without a place has not.
_NO_PLACE: Final[dict[str, Any]] = {"pool": None, "held_until": None, "offer_expires_at": None}
# Calling an activity off leaves its queue as it is; a summary does not.
QUEUE_MOVES: Final = (ActivityStatus.PUBLISHED, ActivityStatus.SUMMARISED)
# What somebody is told whose application ends without a decision.
UNDECIDED: Final = {
    AdmissionMode.FIRST_COME: MessageKind.QUEUE_CLOSED,
    AdmissionMode.REVIEW: MessageKind.APPLICATION_NOT_DECIDED,
    AdmissionMode.LOTTERY: MessageKind.DRAW_NOT_HELD,
}
# Written into the SQL: neither engine uses a partial index for a condition that is bound.
_OFFERED: Final[Any] = literal_column("'offered'")


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
    work: Work, activity_id: UUID, cause: CancelCause, told: MessageKind | None, *which: ColumnElement[bool]
) -> int:
    """End some sign-ups, tell the people unless it is over or another does, and give what became free; return how many ended."""
    people = _write(
        work, SignUp.activity_id == activity_id, *which,
        **_NO_PLACE, state=SignUpState.CANCELLED, cancelled_at=work.now, cancel_cause=cause,
    )  # fmt: skip
    if not people:
        return 0
    if told is not None:
        _tell(work, activity_id, people, told)
    fill(work, activity_id)
    return len(people)


def _tell(work: Work, activity_id: UUID, people: Sequence[UUID], told: MessageKind) -> None:
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


def expired(now: datetime) -> tuple[ColumnElement[bool], ...]:
    """Return the condition on a sign-up that its offer has run out."""
    return SignUp.state == _OFFERED, SignUp.offer_expires_at <= now


def expire_offers(work: Work, activity_id: UUID, *, tells: bool = True) -> int:
    """End the offers that have run out, except while the activity is called off; return how many."""
    goes_on = exists().where(Activity.id == activity_id, Activity.status != ActivityStatus.CANCELLED)
    told = MessageKind.OFFER_EXPIRED if tells else None
    return end_all(work, activity_id, CancelCause.EXPIRED, told, *expired(work.now), goes_on)


def close_queue(work: Work, activity_id: UUID, *, tells: bool = True) -> int:
    """End the turns of those whom no place reached, if the queue has closed by now; return how many."""
    closed = select(Activity.id).where(
        Activity.id == activity_id, Activity.queue_closes_at <= work.now, Activity.status.in_(QUEUE_MOVES)
    )
    return end_all(
        work,
        activity_id,
        CancelCause.QUEUE_CLOSED,
        MessageKind.QUEUE_CLOSED if tells else None,
        SignUp.state == SignUpState.WAITLISTED,
        closed.exists(),
    )


def end_undecided(work: Work, activity_id: UUID, *, tells: bool = True) -> int:
    """End the applications that nobody decided on while there was time, also once it is over, and tell the people; return how many."""
    about = work.session.execute(
        select(Activity.title, Activity.admission_mode, Activity.quiet_from, Activity.quiet_until).where(
            Activity.id == activity_id, too_late_to_decide(work.now)
        )
    ).one_or_none()
    if about is None:
        return 0
    people = _write(
        work, SignUp.activity_id == activity_id, SignUp.state == SignUpState.APPLIED,
        state=SignUpState.CANCELLED, cancelled_at=work.now, cancel_cause=CancelCause.QUEUE_CLOSED,
    )  # fmt: skip
    if tells:
        messages.enqueue_all(
            work.session, work.now, people, UNDECIDED[about.admission_mode],
            not_before=audible(about, work.now), activity_id=str(activity_id), title=about.title,
        )  # fmt: skip
    return len(people)


def back_to_queue(work: Work, which: Select[Any]) -> int:
    """Take the places of some sign-ups, selected by ``seq``; return how many. They keep their rank and arrival."""
    people = _write(
        work, SignUp.seq.in_(which),
        **_NO_PLACE, state=SignUpState.WAITLISTED, offered_at=None, promoted_at=None, joined_position=None,
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
