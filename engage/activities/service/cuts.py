"""Taking places back when staff accept that there will be fewer: the last to have come go back to the head of the queue."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from sqlalchemy import exists, select

from engage.activities.errors import CapacityBelowPresent
from engage.activities.models import HOLDS_PLACE, Activity, CheckIn, Pool, SignUp, SignUpState
from engage.activities.service import admission, transitions

if TYPE_CHECKING:
    from sqlalchemy import ColumnElement

    from engage.core.db import Work


def take_back(work: Work, activity: Activity, capacity: int, pools: list[dict[str, Any]]) -> int:
    """Move as many people of a locked activity to its queue as there will be too few places for; return how many.

    Offers go before confirmed places, each in the reverse order of the queue. They keep their rank and arrival, so that they stand ahead of
    all who had no place, and the queue is lengthened to hold them. Who has checked in or been excused stays: what was noted stays true.

    Raises:
        CapacityBelowPresent: more have checked in or been excused than there would be places.

    """
    lost = _take_all(work, activity, capacity, pools)
    if lost:
        admission.number_turns(work, activity.id)
    return lost


def _take_all(work: Work, activity: Activity, capacity: int, pools: list[dict[str, Any]]) -> int:
    if activity.pools_merged:
        return _take(work, activity, activity.taken - capacity)
    taken = work.session.execute(
        select(Pool.position, Pool.taken).where(Pool.activity_id == activity.id).order_by(Pool.position)
    ).all()
    return sum(
        _take(work, activity, held - pool["capacity"], SignUp.pool == position)
        for (position, held), pool in zip(taken, pools, strict=False)
    )


def _take(work: Work, activity: Activity, too_many: int, *which: ColumnElement[bool]) -> int:
    if too_many <= 0:
        return 0
    last = (
        select(SignUp.seq)
        .where(SignUp.activity_id == activity.id, SignUp.state.in_(HOLDS_PLACE), *which)
        .where(SignUp.excused_at.is_(None), ~exists().where(CheckIn.sign_up_id == SignUp.id))
        .order_by(SignUp.state == SignUpState.CONFIRMED, SignUp.rank.desc(), SignUp.seq.desc())
        .limit(too_many)
    )
    activity.waitlist_capacity += too_many
    work.session.flush()
    moved = transitions.back_to_queue(work, last)
    if moved < too_many:
        raise CapacityBelowPresent(taken=activity.taken)
    return moved
