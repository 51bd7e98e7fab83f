"""Freeing what somebody holds who may no longer take part: suspended, closed or erased."""

from __future__ import annotations

from typing import TYPE_CHECKING
from uuid import UUID

from sqlalchemy import select

from engage.activities.errors import AlreadyCheckedIn
from engage.activities.models import CancelCause, SignUp
from engage.activities.queries.inactive import FREED, held_by_inactive
from engage.activities.service import admission

if TYPE_CHECKING:
    from engage.core.db import Work


def release_person(work: Work, person_id: UUID, cause: CancelCause = CancelCause.RELEASED) -> int:
    """End all places, turns and applications of somebody in what is not over yet; return how many.

    The places go to whoever is next. Where the person has checked in, what was stays. Activities are locked in the order of their ids, so
    that two releases cannot wait for each other; call it before anything that locks the person. Commit first that they may take part no
    more: what they are let into later is found by ``release_inactive``.
    """
    activity_ids = work.session.scalars(
        select(SignUp.activity_id)
        .where(SignUp.person_id == person_id, SignUp.ends_at > work.now, SignUp.state.in_(FREED))
        .order_by(SignUp.activity_id)
    ).all()
    # All of them before the first is filled, which may lock people.
    for activity_id in activity_ids:
        admission.lock(work, activity_id)
    return sum(_release(work, activity_id, person_id, cause) for activity_id in activity_ids)


def _release(work: Work, activity_id: UUID, person_id: UUID, cause: CancelCause) -> bool:
    sign_up_id = work.session.scalar(
        select(SignUp.id).where(
            SignUp.activity_id == activity_id,
            SignUp.person_id == person_id,
            SignUp.state.in_(FREED),
        )
    )
    # None: they left while the row was waited for.
    return sign_up_id is not None and _end(work, sign_up_id, cause)


def _end(work: Work, sign_up_id: UUID, cause: CancelCause) -> bool:
    try:
        with work.session.begin_nested():
            admission.end(work, sign_up_id, cause)
    except AlreadyCheckedIn:
        return False
    return True


def release_inactive(work: Work, activity_id: UUID) -> int:
    """End what people hold of a locked activity whose account is stopped; return how many.

    For who was let in by a request that was under way when their account was stopped.
    """
    sign_up_ids = work.session.scalars(
        select(SignUp.id)
        .where(SignUp.activity_id == activity_id, *held_by_inactive(work.now, work.now))
        .order_by(SignUp.seq)
    ).all()
    return sum(_end(work, sign_up_id, CancelCause.RELEASED) for sign_up_id in sign_up_ids)
