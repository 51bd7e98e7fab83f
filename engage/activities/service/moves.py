"""What is set in relation to an activity's start, and moves with it."""

from __future__ import annotations

from datetime import timedelta
from typing import TYPE_CHECKING

from sqlalchemy import select, update

from engage.activities.access import how_people_are_read
from engage.activities.errors import ActivityTimesHeld
from engage.activities.models import Activity, ActivityStatus, SignUp, SignUpState
from engage.core.errors import NotAllowed

if TYPE_CHECKING:
    from datetime import datetime
    from uuid import UUID

    from engage.core.db import Work


def keep_window(work: Work, activity: Activity, org_id: UUID, starts_at: datetime, ends_at: datetime) -> None:
    """Refuse what would let a hub manager see who signed up sooner or longer than without it, however small the steps.

    Raises:
        NotAllowed: the activity would go to another organisation, where the caller may hold a role that is bound to no time.
        ActivityTimesHeld: the caller does not see people now, or would beyond the time in which they were to.

    """
    if (org_id, starts_at, ends_at) == (activity.org_id, activity.starts_at, activity.ends_at):
        return
    is_free, sees_now = how_people_are_read(work, activity.id)
    if is_free:
        activity.first_ends_at = None
        return
    if org_id != activity.org_id:
        raise NotAllowed
    first = activity.first_ends_at or activity.ends_at
    if not sees_now or ends_at > first + timedelta(days=work.settings.people_days_after):
        raise ActivityTimesHeld
    activity.first_ends_at = first


def follow_start(work: Work, activity: Activity, later: timedelta) -> None:
    """Shift until when people of a locked activity are held back, and let no offer outlive its queue."""
    if not later:
        return
    holds = select(SignUp.held_until).where(SignUp.activity_id == activity.id, SignUp.held_until.is_not(None))
    instants = [instant for instant in work.session.scalars(holds.distinct()) if instant is not None]
    # From the far end, so that no instant is shifted twice.
    for instant in sorted(instants, reverse=later.total_seconds() > 0):
        work.session.execute(
            update(SignUp)
            .where(SignUp.activity_id == activity.id, SignUp.held_until == instant)
            .values(held_until=instant + later, updated_at=work.now)
            .execution_options(synchronize_session=False)
        )
    work.session.execute(
        update(SignUp)
        .where(
            SignUp.activity_id == activity.id,
            SignUp.state == SignUpState.OFFERED,
            SignUp.offer_expires_at > activity.queue_closes_at,
        )
        .values(offer_expires_at=activity.queue_closes_at, updated_at=work.now)
        .execution_options(synchronize_session=False)
    )


def let_leave_free(work: Work, activity: Activity) -> None:
    """Take excuses until the start where staff have just changed what people planned with, and their time for excuses is over by now."""
    if activity.status is ActivityStatus.PUBLISHED and work.now >= activity.excuse_until_at:
        activity.excuse_until_at = activity.starts_at
        work.session.flush()
