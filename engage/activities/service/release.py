"""Freeing what somebody holds who may no longer take part: suspended, closed or erased."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final
from uuid import UUID

from sqlalchemy import select

from engage.activities.errors import AlreadyCheckedIn
from engage.activities.models import CancelCause, SignUp, SignUpState
from engage.activities.service import admission

if TYPE_CHECKING:
    from engage.core.db import Work

_FREED: Final = (
    SignUpState.APPLIED,
    SignUpState.WAITLISTED,
    SignUpState.OFFERED,
    SignUpState.CONFIRMED,
)


def release_person(work: Work, person_id: UUID, cause: CancelCause = CancelCause.RELEASED) -> int:
    """End all places, turns and applications of somebody in what is not over yet; return how many.

    The places go to whoever is next. Where the person has checked in, what was stays. Activities are locked in the order of their ids, so
    that two releases cannot wait for each other; call it before anything that locks the person.
    """
    activity_ids = work.session.scalars(
        select(SignUp.activity_id)
        .where(SignUp.person_id == person_id, SignUp.ends_at > work.now, SignUp.state.in_(_FREED))
        .order_by(SignUp.activity_id)
    ).all()
    return sum(_release(work, activity_id, person_id, cause) for activity_id in activity_ids)


def _release(work: Work, activity_id: UUID, person_id: UUID, cause: CancelCause) -> bool:
    admission.lock(work, activity_id)
    sign_up_id = work.session.scalar(
        select(SignUp.id).where(
            SignUp.activity_id == activity_id,
            SignUp.person_id == person_id,
            SignUp.state.in_(_FREED),
        )
    )
    if sign_up_id is None:  # they left while the row was waited for
        return False
    try:
        with work.session.begin_nested():
            admission.end(work, sign_up_id, cause)
    except AlreadyCheckedIn:
        return False
    return True
