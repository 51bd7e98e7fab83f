"""What the clock makes of what is stored."""

from __future__ import annotations

from datetime import timedelta
from typing import TYPE_CHECKING, Any, Final

from sqlalchemy import func, select, tuple_

from engage.activities.models import Activity, ActivityState, ActivityStatus, Attendance, SignUp, SignUpState

if TYPE_CHECKING:
    from datetime import datetime

    from sqlalchemy import ColumnElement

_STORED: Final = {
    ActivityStatus.DRAFT: ActivityState.DRAFT,
    ActivityStatus.REVIEW: ActivityState.REVIEW,
    ActivityStatus.REJECTED: ActivityState.REJECTED,
    ActivityStatus.CANCELLED: ActivityState.CANCELLED,
    ActivityStatus.SUMMARISED: ActivityState.SUMMARISED,
}


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
    status: ActivityStatus,
    ends_at: datetime,
    checked_in: object,
    excused: object,
    now: datetime,
) -> Attendance | None:
    """Return what became of a confirmed sign-up; None while it is open, and for whoever never had a place.

    Presence counts at once; absence only when the activity is over. Derived, so that nobody is left without one.
    """
    if state is not SignUpState.CONFIRMED or status is ActivityStatus.CANCELLED:
        return None
    if checked_in is not None:
        return Attendance.ATTENDED
    if excused is not None:
        return Attendance.EXCUSED
    return Attendance.ABSENT if now >= ends_at else None


def takes_more() -> ColumnElement[bool]:
    """Return the condition that an activity has a place or a turn in its queue left."""
    return (Activity.taken < Activity.capacity) | (Activity.waiting < Activity.waitlist_capacity)


def position(activity_id: Any, rank: Any, seq: Any) -> Any:
    """Return the SQL expression of a waitlisted sign-up's place in its queue (1 is next)."""
    ahead = SignUp.__table__.alias("ahead")
    return (
        select(func.count())
        .select_from(ahead)
        .where(
            ahead.c.activity_id == activity_id,
            ahead.c.state == SignUpState.WAITLISTED,
            tuple_(ahead.c.rank, ahead.c.seq) <= tuple_(rank, seq),
        )
        .scalar_subquery()
    )


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
