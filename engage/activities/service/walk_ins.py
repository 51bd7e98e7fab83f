"""Walk-ins and the capacity: who came beyond it, and how many places those who are there use up."""

from __future__ import annotations

import heapq
from typing import TYPE_CHECKING, Any, Final

from sqlalchemy import bindparam, func, select, update

from engage.activities.models import Activity, CheckIn, SignUp, SignUpState

if TYPE_CHECKING:
    from collections.abc import Sequence
    from datetime import datetime
    from uuid import UUID

    from engage.core.db import Work

_CHECK_INS: Final[Any] = CheckIn.__table__
_SET_OVER_CAPACITY: Final = (
    update(_CHECK_INS)
    .where(_CHECK_INS.c.activity_id == bindparam("of"), _CHECK_INS.c.person_id == bindparam("who"))
    .values(over_capacity=bindparam("is_over"), updated_at=bindparam("at"))
)


def mark(work: Work, activity: Activity) -> set[UUID]:
    """Mark the walk-ins of a locked activity who came beyond its capacity, and count those who are there; return the marked.

    Everybody is looked at, not those of an upload alone: who arrived earlier may be reported later.
    """
    rows = _present(work, activity.id)
    beyond = _beyond_capacity(rows, activity.capacity)
    changed = [
        {"of": activity.id, "who": row.person_id, "is_over": row.person_id in beyond, "at": work.now}
        for row in rows
        if row.over_capacity != (row.person_id in beyond)
    ]
    if changed:
        work.session.connection().execute(_SET_OVER_CAPACITY, changed)
    there = sum(row.walks_in and row.left_at is None for row in rows)
    if there != activity.walk_ins_present:
        work.session.execute(
            update(Activity).where(Activity.id == activity.id).values(walk_ins_present=there)
        )
    return beyond


def _present(work: Work, activity_id: UUID) -> Sequence[Any]:
    holders = select(func.count()).where(
        SignUp.activity_id == activity_id, SignUp.state == SignUpState.CONFIRMED
    )
    return work.session.execute(
        select(
            CheckIn.person_id,
            CheckIn.arrived_at,
            CheckIn.left_at,
            CheckIn.over_capacity,
            (SignUp.state == SignUpState.WALK_IN).label("walks_in"),
            holders.scalar_subquery().label("holders"),
        )
        .join(SignUp, SignUp.id == CheckIn.sign_up_id)
        .where(CheckIn.activity_id == activity_id)
        .order_by(CheckIn.arrived_at, CheckIn.person_id)
    ).all()


def _beyond_capacity(rows: Sequence[Any], capacity: int) -> set[UUID]:
    """Return the walk-ins for whom, when they came, no place was left beside those of the others who were there or have one.

    A place is its holder's until they have left, whether or not they have come yet: they may.
    """
    beyond: set[UUID] = set()
    used = rows[0].holders if rows else 0
    departures: list[datetime] = [row.left_at for row in rows if not row.walks_in and row.left_at is not None]
    heapq.heapify(departures)
    for row in rows:
        if not row.walks_in:
            continue
        while departures and departures[0] <= row.arrived_at:
            heapq.heappop(departures)
            used -= 1
        used += 1
        if row.left_at is not None:
            heapq.heappush(departures, row.left_at)
        if used > capacity:
            beyond.add(row.person_id)
    return beyond
