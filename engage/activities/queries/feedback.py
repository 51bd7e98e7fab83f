"""Reads of feedback."""

from __future__ import annotations

from datetime import timedelta
from typing import TYPE_CHECKING, Any, Final
from uuid import UUID

from sqlalchemy import select

from engage.activities.access import require_manageable
from engage.activities.errors import NoFeedback
from engage.activities.models import Feedback
from engage.core.paging import Page, Pager
from engage.orgs.access import Permission

if TYPE_CHECKING:
    from engage.core.db import Context

FEEDBACK_EDITABLE_FOR: Final = timedelta(days=7)


def my_feedback(look: Context, activity_id: UUID) -> dict[str, Any]:
    """Return the caller's feedback on an activity.

    Raises:
        NoFeedback: none was given.

    """
    row = look.db.execute(
        select(Feedback.stars, Feedback.text, Feedback.created_at, Feedback.updated_at).where(
            Feedback.activity_id == activity_id, Feedback.person_id == look.actor.id
        )
    ).one_or_none()
    if row is None:
        raise NoFeedback
    stars, text, created_at, updated_at = row
    return {
        "stars": stars,
        "text": text,
        "created_at": created_at,
        "updated_at": updated_at,
        "editable_until": created_at + FEEDBACK_EDITABLE_FOR,
    }


def list_feedback(look: Context, activity_id: UUID, query: dict[str, Any]) -> Page:
    """Return an activity's feedback without names, for its staff. The words are people's own, and may say who they are.

    Raises:
        NoSuchActivity: there is none that the caller may see.
        NotAllowed: the caller is not its staff, or sees no people of it any more.

    """
    require_manageable(look, activity_id, Permission.READ_PEOPLE)
    pager = Pager(look.settings, f"feedback:{activity_id}", query)
    statement = select(Feedback.id, Feedback.stars, Feedback.text, Feedback.created_at).where(
        Feedback.activity_id == activity_id
    )
    after = pager.after()
    if after:
        statement = statement.where(Feedback.id > after[0])
    rows = look.db.execute(statement.order_by(Feedback.id).limit(query["limit"] + 1)).all()
    items = [{"id": row[0], "stars": row[1], "text": row[2], "created_at": row[3]} for row in rows]
    return pager.page(items, lambda item: [item["id"]])
