"""A sign-up as people see it: its columns and their wire form, the same for whatever shows one."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final, NamedTuple

from sqlalchemy import case, func, select, tuple_

from engage.activities.models import Activity, CheckIn, SignUp, SignUpState
from engage.activities.queries.states import attendance_of
from engage.orgs.access import LATER

if TYPE_CHECKING:
    from datetime import datetime
    from uuid import UUID

    from sqlalchemy import Subquery

    from engage.activities.models import ActivityStatus, CancelCause

_AHEAD: Final = SignUp.__table__.alias("ahead")
# Somebody's number in the queue, 1 is next; joining.py counts the same in its own statement.
_TURN: Final = case(
    (
        SignUp.state == SignUpState.WAITLISTED,
        select(func.count())
        .select_from(_AHEAD)
        .where(
            _AHEAD.c.activity_id == SignUp.activity_id,
            _AHEAD.c.state == SignUpState.WAITLISTED,
            tuple_(_AHEAD.c.rank, _AHEAD.c.seq) <= tuple_(SignUp.rank, SignUp.seq),
        )
        .scalar_subquery(),
    )
)
# For an outer join to an activity: the caller's live sign-up.
MINE: Final = (
    (SignUp.activity_id == Activity.id)
    & (SignUp.person_id == LATER.actor.id)
    & (SignUp.state != SignUpState.CANCELLED)
)


class Entry(NamedTuple):
    """A sign-up and its check-in; what has just been made has no more than the first five."""

    id: UUID
    state: SignUpState
    position: int | None
    created_at: datetime
    held_until: datetime | None
    excused_at: datetime | None = None
    offer_expires_at: datetime | None = None
    decision_reason: str | None = None
    checked_in_at: datetime | None = None
    arrived_at: datetime | None = None


class Facts(NamedTuple):
    """What of an activity decides what became of its sign-ups."""

    status: ActivityStatus
    starts_at: datetime
    ends_at: datetime
    late_minutes: int


ENTRY: Final[tuple[Any, ...]] = (
    SignUp.id,
    SignUp.state,
    _TURN,
    SignUp.created_at,
    SignUp.held_until,
    SignUp.excused_at,
    SignUp.offer_expires_at,
    SignUp.decision_reason,
    CheckIn.checked_in_at,
    CheckIn.arrived_at,
)
FACTS: Final[tuple[Any, ...]] = (
    Activity.status,
    Activity.starts_at,
    Activity.ends_at,
    Activity.late_minutes,
)


def entry_with(turn: Any) -> tuple[Any, ...]:
    """Return ENTRY with numbers from elsewhere."""
    return tuple(turn if column is _TURN else column for column in ENTRY)


def turns_of(activity_id: Any) -> Subquery:
    """Return everybody in the queue of an activity with their number, for who needs them all."""
    return (
        select(SignUp.id, func.row_number().over(order_by=(SignUp.rank, SignUp.seq)).label("turn"))
        .where(SignUp.activity_id == activity_id, SignUp.state == SignUpState.WAITLISTED)
        .subquery()
    )


def wire(entry: Entry, facts: Facts, now: datetime, cause: CancelCause | None = None) -> dict[str, Any]:
    """Return the wire form of a sign-up; ``cause`` is why it ended."""
    return {
        "id": entry.id,
        "state": entry.state,
        "position": entry.position,
        "created_at": entry.created_at,
        "checked_in_at": entry.checked_in_at,
        "attendance": attendance_of(entry.state, entry.arrived_at, entry.excused_at, now, facts, cause),
        "offer_expires_at": entry.offer_expires_at,
        "held_until": entry.held_until,
        "decision_reason": entry.decision_reason,
    }
