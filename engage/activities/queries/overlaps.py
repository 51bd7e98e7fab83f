"""Reads of who has two places at the same time."""

from __future__ import annotations

from typing import TYPE_CHECKING
from uuid import UUID

from sqlalchemy import select
from sqlalchemy.orm import aliased

from engage.activities.models import HOLDS_PLACE, Activity, ActivityStatus, SignUp

if TYPE_CHECKING:
    from engage.core.db import Context


def people_in_two_places(look: Context, activity_id: UUID) -> set[UUID]:
    """Return the people with a place in an activity who have one in another published activity at the same time."""
    other = aliased(SignUp)
    return set(
        look.db.scalars(
            select(SignUp.person_id)
            .join(other, (other.person_id == SignUp.person_id) & (other.activity_id != SignUp.activity_id))
            .join(Activity, Activity.id == other.activity_id)
            .where(
                SignUp.activity_id == activity_id,
                SignUp.state.in_(HOLDS_PLACE),
                other.state.in_(HOLDS_PLACE),
                other.ends_at > SignUp.starts_at,
                other.starts_at < SignUp.ends_at,
                Activity.status == ActivityStatus.PUBLISHED,
            )
        )
    )
