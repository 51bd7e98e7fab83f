"""How queues have moved before: what can honestly be said to somebody who waits."""

from __future__ import annotations

from functools import cache
from typing import TYPE_CHECKING, Any, Final
from uuid import UUID

from sqlalchemy import Integer, Uuid, bindparam, case, exists, func, select
from sqlalchemy.orm import aliased

from engage.activities.models import Activity, ActivityStatus, SignUp
from engage.core.prepared import Prepared
from engage.orgs.access import LATER

if TYPE_CHECKING:
    from engage.core.db import Context

_LOOKED_BACK: Final = 20  # activities; older ones tell little, and the cost stays the same
_ENOUGH: Final = 3  # fewer say nothing


@cache
def _statement() -> Prepared[Any]:
    past = aliased(Activity)
    this = select(Activity.project_id).where(Activity.id == bindparam("activity_id", type_=Uuid()))
    last = (
        select(past.id)
        .where(
            past.project_id == this.scalar_subquery(),
            past.ends_at <= LATER.now,
            past.status.in_((ActivityStatus.PUBLISHED, ActivityStatus.SUMMARISED)),
        )
        .order_by(past.starts_at.desc(), past.id.desc())
        .limit(_LOOKED_BACK)
        .subquery()
    )
    queued = exists().where(SignUp.activity_id == last.c.id, SignUp.joined_position.is_not(None))
    got_there = exists().where(
        SignUp.activity_id == last.c.id,
        SignUp.joined_position >= bindparam("position", type_=Integer()),
        SignUp.promoted_at.is_not(None),
    )
    return Prepared(
        select(func.count(), func.sum(case((got_there, 1), else_=0))).select_from(last).where(queued)
    )


def estimate_of(look: Context, activity_id: UUID, position: int) -> dict[str, int] | None:
    """Return at how many of the project's past activities with a queue somebody who joined it this far back or further got a place.

    Of the last twenty that are over; None when fewer than three had a queue. One statement.
    """
    ((of, through),) = _statement().all(
        look.db, {"activity_id": activity_id, "position": position, "now": look.now}
    )
    return {"of": of, "promoted_through": through} if of >= _ENOUGH else None
