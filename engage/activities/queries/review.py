"""Reads of what became of applications, and until when there is time to decide on them."""

from __future__ import annotations

from typing import TYPE_CHECKING
from uuid import UUID

from sqlalchemy import and_, exists, or_, select

from engage.activities.models import (
    Activity,
    ActivityStatus,
    AdmissionMode,
    LotteryDraw,
    SignUp,
    SignUpState,
)
from engage.activities.queries.entry import turns_of

if TYPE_CHECKING:
    from collections.abc import Sequence
    from datetime import datetime

    from sqlalchemy import ColumnElement

    from engage.core.db import Context


def results_of(
    look: Context, activity_id: UUID, sign_up_ids: Sequence[UUID]
) -> dict[UUID, tuple[SignUpState, int | None]]:
    """Return (state, turn in the queue) of sign-ups of an activity. One statement, however many there are."""
    turns = turns_of(activity_id)
    rows = look.db.execute(
        select(SignUp.id, SignUp.state, turns.c.turn)
        .outerjoin(turns, turns.c.id == SignUp.id)
        .where(SignUp.id.in_(sign_up_ids))
    )
    return {sign_up_id: (state, turn) for sign_up_id, state, turn in rows}


def too_late_to_decide(now: datetime) -> ColumnElement[bool]:
    """Return the condition on an activity that what is still applied for ends undecided.

    In a review once sign-up and the queue have both closed; in a lottery at its start, or at its end where a draw is still being settled. What
    is called off waits for its re-opening.
    """
    drawn = exists().where(LotteryDraw.activity_id == Activity.id, LotteryDraw.drawn_at.is_not(None))
    is_lottery = Activity.admission_mode == AdmissionMode.LOTTERY
    return and_(
        Activity.status.in_((ActivityStatus.PUBLISHED, ActivityStatus.SUMMARISED)),
        or_(
            and_(~is_lottery, Activity.queue_closes_at <= now, Activity.sign_up_closes_at <= now),
            and_(is_lottery, Activity.starts_at <= now, or_(~drawn, Activity.ends_at <= now)),
        ),
    )
