"""What the clock makes of what is stored."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any, Final

from sqlalchemy import and_, case, or_

from engage.activities.models import (
    Activity,
    ActivityState,
    ActivityStatus,
    Attendance,
    CancelCause,
    CheckIn,
    SignUp,
    SignUpState,
)
from engage.core.sql import plus_minutes
from engage.orgs.access import LATER

if TYPE_CHECKING:
    from sqlalchemy import ColumnElement

_FOREVER: Final = datetime(9999, 1, 1, tzinfo=UTC)
_STORED: Final = {
    ActivityStatus.DRAFT: ActivityState.DRAFT,
    ActivityStatus.REVIEW: ActivityState.REVIEW,
    ActivityStatus.REJECTED: ActivityState.REJECTED,
    ActivityStatus.CANCELLED: ActivityState.CANCELLED,
    ActivityStatus.SUMMARISED: ActivityState.SUMMARISED,
}
_ADMITTED: Final = (SignUpState.CONFIRMED, SignUpState.WALK_IN)


def state_of(
    status: ActivityStatus,
    opens_at: datetime,
    closes_at: datetime,
    starts_at: datetime,
    ends_at: datetime,
    now: datetime,
) -> ActivityState:
    """Return the state people see at an instant (domain: youth homes and hubs, states of an activity)."""
    if status is not ActivityStatus.PUBLISHED:
        return _STORED[status]
    if now >= ends_at:
        return ActivityState.ENDED
    if now >= starts_at:
        return ActivityState.RUNNING
    if now < opens_at:
        return ActivityState.PUBLISHED
    return ActivityState.REGISTRATION_OPEN if now < closes_at else ActivityState.REGISTRATION_CLOSED


def attendance_of(
    state: SignUpState,
    arrived_at: datetime | None,
    excused_at: datetime | None,
    now: datetime,
    activity: Any,
    cause: CancelCause | None = None,
) -> Attendance | None:
    """Return what became of a sign-up; None while it is open, and for whoever never had a place nor came.

    ``activity`` is anything with its status, start, end and late_minutes; ``cause`` is why the sign-up ended. Presence counts at once; absence only when the activity is over. Derived, so that nobody is left without one. ``attendance`` says the
    same in SQL.
    """
    is_excused = excused_at is not None or (state is SignUpState.CANCELLED and cause is CancelCause.EXCUSED)
    if activity.status is ActivityStatus.CANCELLED or not (is_excused or state in _ADMITTED):
        return None
    if state is SignUpState.WALK_IN:
        return Attendance.WALK_IN
    if arrived_at is not None:
        is_late = arrived_at > activity.starts_at + timedelta(minutes=activity.late_minutes)
        return Attendance.LATE if is_late else Attendance.ATTENDED
    if is_excused:
        return Attendance.EXCUSED
    return Attendance.ABSENT if now >= activity.ends_at else None


def attendance(now: Any, activity: Any = Activity) -> ColumnElement[str | None]:
    """Return ``attendance_of`` as an expression over sign_up, check_in (outer joined), and an activity's columns."""
    is_late = CheckIn.arrived_at > plus_minutes(activity.starts_at, activity.late_minutes)
    confirmed = SignUp.state == SignUpState.CONFIRMED
    return case(
        (activity.status == ActivityStatus.CANCELLED, None),
        (SignUp.state == SignUpState.WALK_IN, Attendance.WALK_IN.value),
        (
            (SignUp.state == SignUpState.CANCELLED) & (SignUp.cancel_cause == CancelCause.EXCUSED),
            Attendance.EXCUSED.value,
        ),
        (confirmed & is_late, Attendance.LATE.value),
        (confirmed & CheckIn.arrived_at.is_not(None), Attendance.ATTENDED.value),
        (confirmed & SignUp.excused_at.is_not(None), Attendance.EXCUSED.value),
        (confirmed & (activity.ends_at <= now), Attendance.ABSENT.value),
        else_=None,
    )


def minutes_present(arrived_at: datetime, left_at: datetime, starts_at: datetime, ends_at: datetime) -> int:
    """Return the whole minutes of an activity that somebody was there for."""
    span = min(left_at, ends_at) - max(arrived_at, starts_at)
    return max(0, int(span.total_seconds())) // 60


def not_over(ends_at: Any) -> ColumnElement[bool]:
    """Return the condition that something ends after the moment of the statement (``LATER.now``).

    It has an upper bound too: of a range PostgreSQL expects few rows before it knows the moment, of a single bound a
    third of the table, however long the past is, and would then make a plan anew for each request: 0.7 ms.
    """
    return and_(ends_at > LATER.now, ends_at < _FOREVER)


def takes_more() -> ColumnElement[bool]:
    """Return the condition that an activity has a place or a turn in its queue left at the moment of the statement."""
    until_the_door = (Activity.taken < Activity.capacity) | (Activity.waiting < Activity.waitlist_capacity)
    left_by_walk_ins = Activity.taken + Activity.walk_ins_present < Activity.capacity
    return or_(left_by_walk_ins, and_(Activity.queue_closes_at > LATER.now, until_the_door))


def time_served(
    arrived_at: datetime,
    left_at: datetime | None,
    starts_at: datetime,
    ends_at: datetime,
    *,
    requires_check_out: bool,
) -> timedelta | None:
    """Return how long somebody was there within an activity's time; None when they had to check out and did not."""
    if left_at is None and requires_check_out:
        return None
    return max(timedelta(), min(left_at or ends_at, ends_at) - max(arrived_at, starts_at))


def is_long_enough(served: timedelta, starts_at: datetime, ends_at: datetime, percent: int) -> bool:
    """Say whether time served is the share of an activity from which its hours count."""
    return served * 100 >= (ends_at - starts_at) * percent
