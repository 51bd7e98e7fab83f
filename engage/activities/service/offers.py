"""Offers: a place kept for somebody until they accept, decline or let it pass."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any
from uuid import UUID

from sqlalchemy import select, update

from engage.activities.errors import ActivityCancelled, NoOffer, OfferExpired
from engage.activities.models import Activity, ActivityStatus, CancelCause, SignUp, SignUpState
from engage.activities.queries.sign_ups import my_sign_up
from engage.activities.service import admission

if TYPE_CHECKING:
    from engage.core.db import Work


def accept(work: Work, activity_id: UUID) -> dict[str, Any]:
    """Confirm the place that is kept for the caller. Repeating it changes nothing.

    Raises:
        NoSuchActivity: not published.
        NoOffer: no place is kept for them.
        OfferExpired: too late.
        ActivityCancelled: there is nothing to come to.

    """
    admission.lock(work, activity_id)
    if work.session.scalar(select(Activity.status).where(Activity.id == activity_id)) is (
        ActivityStatus.CANCELLED
    ):
        raise ActivityCancelled
    latest = work.session.execute(
        select(SignUp.id, SignUp.state, SignUp.offered_at, SignUp.offer_expires_at, SignUp.cancel_cause)
        .where(SignUp.activity_id == activity_id, SignUp.person_id == work.actor.id)
        .order_by(SignUp.seq.desc())
        .limit(1)
    ).one_or_none()
    if latest is None or latest.offered_at is None:
        raise NoOffer
    if latest.state is SignUpState.OFFERED:
        if latest.offer_expires_at <= work.now:
            raise OfferExpired
        _confirm(work, latest.id)
    elif latest.cancel_cause is CancelCause.EXPIRED:
        raise OfferExpired
    elif latest.state is not SignUpState.CONFIRMED:
        raise NoOffer
    return my_sign_up(work, activity_id)


def _confirm(work: Work, sign_up_id: UUID) -> None:
    work.session.execute(
        update(SignUp)
        .where(SignUp.id == sign_up_id)
        .values(
            state=SignUpState.CONFIRMED,
            offer_expires_at=None,
            promoted_at=work.now,
            updated_at=work.now,
        )
        .execution_options(synchronize_session=False)
    )
