"""Reads of who has two places at the same time.

``CLASH`` is the rule for one person, for joining too (joining.py), ``has_place_elsewhere`` the same for the rows of a statement.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final
from uuid import UUID

from sqlalchemy import ColumnElement, String, Uuid, bindparam, column, select, text
from sqlalchemy.orm import aliased

from engage.activities.models import HOLDS_PLACE, Activity, ActivityStatus, SignUp

if TYPE_CHECKING:
    from engage.core.db import Context

CLASH: Final = """
        SELECT elsewhere.id, elsewhere.title FROM activity AS here
        JOIN sign_up AS other ON other.person_id = :person_id AND other.ends_at > here.starts_at AND other.starts_at < here.ends_at
        JOIN activity AS elsewhere ON elsewhere.id = other.activity_id
        WHERE here.id = :activity_id AND here.overlap <> 'allow' AND other.state IN ('confirmed', 'offered')
        AND other.activity_id <> :activity_id AND elsewhere.status = 'published'
        LIMIT 1
"""
ITS_CLASH: Final = (
    text(CLASH)
    .bindparams(bindparam("person_id", type_=Uuid()), bindparam("activity_id", type_=Uuid()))
    .columns(column("id", Uuid()), column("title", String()))
    .subquery("clash")
)


def overlap_with(activity_id: UUID, title: str) -> dict[str, Any]:
    """Return the wire form of the warning that somebody has a place in another activity at the same time."""
    return {"code": "overlap", "activity": {"id": activity_id, "name": title}}


def has_place_elsewhere() -> ColumnElement[bool]:
    """Return the condition on a sign-up that its person has a place in another published activity at the same time."""
    other, elsewhere = aliased(SignUp), aliased(Activity)
    return (
        select(other.seq)
        .join(elsewhere, elsewhere.id == other.activity_id)
        .where(
            other.person_id == SignUp.person_id,
            other.activity_id != SignUp.activity_id,
            other.state.in_(HOLDS_PLACE),
            other.ends_at > SignUp.starts_at,
            other.starts_at < SignUp.ends_at,
            elsewhere.status == ActivityStatus.PUBLISHED,
        )
        .correlate(SignUp)
        .exists()
    )


def people_in_two_places(look: Context, activity_id: UUID) -> set[UUID]:
    """Return the people with a place in an activity who have one in another published activity at the same time."""
    return set(
        look.db.scalars(
            select(SignUp.person_id).where(
                SignUp.activity_id == activity_id, SignUp.state.in_(HOLDS_PLACE), has_place_elsewhere()
            )
        )
    )
