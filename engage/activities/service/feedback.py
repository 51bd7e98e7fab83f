"""Feedback of people who were there."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any
from uuid import UUID

from sqlalchemy import select

from engage.activities.access import PUBLIC
from engage.activities.errors import FeedbackClosed, NoSuchActivity, NotCheckedIn
from engage.activities.models import Activity, CheckIn, Feedback
from engage.activities.queries.feedback import FEEDBACK_EDITABLE_FOR, my_feedback

if TYPE_CHECKING:
    from engage.core.db import Work


def give_feedback(work: Work, activity_id: UUID, stars: int, text: str | None) -> dict[str, Any]:
    """Rate an activity, or replace one's rating within seven days of giving it.

    Raises:
        NoSuchActivity: not published.
        NotCheckedIn: the caller was not there.
        FeedbackClosed: given more than seven days ago.

    """
    row = work.session.execute(
        select(CheckIn.checked_in_at, Feedback)
        .select_from(Activity)
        .outerjoin(CheckIn, (CheckIn.activity_id == Activity.id) & (CheckIn.person_id == work.actor.id))
        .outerjoin(Feedback, (Feedback.activity_id == Activity.id) & (Feedback.person_id == work.actor.id))
        .where(Activity.id == activity_id, Activity.status.in_(PUBLIC))
    ).one_or_none()
    if row is None:
        raise NoSuchActivity
    checked_in_at, feedback = row
    if checked_in_at is None:
        raise NotCheckedIn
    if feedback is None:
        feedback = Feedback(activity_id=activity_id, person_id=work.actor.id, created_at=work.now)
        work.session.add(feedback)
    elif work.now > feedback.created_at + FEEDBACK_EDITABLE_FOR:
        raise FeedbackClosed
    feedback.stars, feedback.text, feedback.updated_at = stars, text, work.now
    work.session.flush()
    return my_feedback(work, activity_id)
