"""Reads of what became of applications."""

from __future__ import annotations

from typing import TYPE_CHECKING
from uuid import UUID

from sqlalchemy import func, select

from engage.activities.models import SignUp, SignUpState

if TYPE_CHECKING:
    from collections.abc import Sequence

    from engage.core.db import Context


def results_of(
    look: Context, activity_id: UUID, sign_up_ids: Sequence[UUID]
) -> dict[UUID, tuple[SignUpState, int | None]]:
    """Return (state, turn in the queue) of sign-ups of an activity. Two statements, however many there are."""
    rows = look.db.execute(
        select(SignUp.id, func.row_number().over(order_by=(SignUp.rank, SignUp.seq))).where(
            SignUp.activity_id == activity_id, SignUp.state == SignUpState.WAITLISTED
        )
    )
    turns: dict[UUID, int] = {sign_up_id: turn for sign_up_id, turn in rows}  # noqa: C416 - rows are no pairs to mypy
    states = look.db.execute(select(SignUp.id, SignUp.state).where(SignUp.id.in_(sign_up_ids)))
    return {sign_up_id: (state, turns.get(sign_up_id)) for sign_up_id, state in states}
