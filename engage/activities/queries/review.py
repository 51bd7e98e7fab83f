"""Reads of what became of applications."""

from __future__ import annotations

from typing import TYPE_CHECKING
from uuid import UUID

from sqlalchemy import select

from engage.activities.models import SignUp, SignUpState
from engage.activities.queries.entry import turns_of

if TYPE_CHECKING:
    from collections.abc import Sequence

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
