"""Excusing oneself in time, which is free."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any
from uuid import UUID

from sqlalchemy import select

from engage.activities.access import PUBLIC
from engage.activities.errors import ActivityCancelled, ExcuseTooLate, NoSuchActivity, NoSuchSignUp
from engage.activities.models import HOLDS_PLACE, Activity, ActivityStatus, CancelCause, SignUp, SignUpState
from engage.activities.service import admission

if TYPE_CHECKING:
    from engage.core.db import Work


def excuse_myself(work: Work, activity_id: UUID, reason: str) -> dict[str, Any]:
    """Give up the caller's place, turn or application with a reason, in time; the next in line moves up.

    Who had a place stands as excused, not as absent; who had none has left. Repeating it returns the reason that was given first.

    Raises:
        NoSuchActivity: not published.
        NoSuchSignUp: the caller has nothing to give up.
        ActivityCancelled: nobody has to come.
        ExcuseTooLate: the time for it is over; leaving is still possible until the start.
        AlreadyCheckedIn: the caller is there.

    """
    admission.lock(work, activity_id)
    row = _latest(work, activity_id)
    # Who simply leaves gives no reason.
    if row.cancel_cause in (CancelCause.EXCUSED, CancelCause.LEFT) and row.cancel_reason is not None:
        return {"sign_up_id": row.sign_up_id, "excused_at": row.cancelled_at, "reason": row.cancel_reason}
    if row.state in (None, SignUpState.CANCELLED, SignUpState.REFUSED):
        raise NoSuchSignUp
    if row.status is ActivityStatus.CANCELLED:
        raise ActivityCancelled
    if work.now >= row.excuse_until_at:
        raise ExcuseTooLate
    cause = CancelCause.EXCUSED if row.state in HOLDS_PLACE else CancelCause.LEFT
    admission.end(work, row.sign_up_id, cause, reason)
    return {"sign_up_id": row.sign_up_id, "excused_at": work.now, "reason": reason}


def _latest(work: Work, activity_id: UUID) -> Any:
    row = work.session.execute(
        select(
            Activity.status,
            Activity.excuse_until_at,
            SignUp.id.label("sign_up_id"),
            SignUp.state,
            SignUp.cancel_cause,
            SignUp.cancelled_at,
            SignUp.cancel_reason,
        )
        .outerjoin(SignUp, (SignUp.activity_id == Activity.id) & (SignUp.person_id == work.actor.id))
        .where(Activity.id == activity_id, Activity.status.in_(PUBLIC))
        .order_by(SignUp.seq.desc())
        .limit(1)
    ).one_or_none()
    if row is None:
        raise NoSuchActivity
    return row
