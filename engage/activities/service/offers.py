"""Offers: a place kept for somebody until they accept, decline or let it pass."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any
from uuid import UUID

from sqlalchemy import select

from engage.activities.access import is_public
from engage.activities.errors import ActivityCancelled, NoOffer, NoSuchActivity, OfferExpired
from engage.activities.models import Activity, ActivityStatus, CancelCause, SignUp, SignUpState
from engage.activities.queries.sign_ups import my_sign_up
from engage.activities.service import admission, transitions
from engage.activities.service.rules import read_rules_now, refuse_overlap
from engage.core.config import Overlap

if TYPE_CHECKING:
    from engage.core.db import Work


def accept(work: Work, activity_id: UUID) -> dict[str, Any]:
    """Confirm the place that is kept for the caller. Repeating it changes nothing.

    Raises:
        NoSuchActivity: not published.
        NoOffer: no place is kept for them.
        OfferExpired: too late.
        ActivityCancelled: there is nothing to come to.
        Overlaps: they have come to have a place elsewhere at the same time, and this activity does not allow that.

    """
    admission.lock(work, activity_id)
    activity = work.session.execute(
        select(Activity.status, Activity.overlap).where(Activity.id == activity_id, is_public())
    ).one_or_none()
    if activity is None:
        raise NoSuchActivity
    if activity.status is ActivityStatus.CANCELLED:
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
        if activity.overlap is Overlap.REFUSE:
            refuse_overlap(work, read_rules_now(work, activity_id), work.actor.id)
        transitions.confirm_offer(work, latest.id)
    elif latest.cancel_cause is CancelCause.EXPIRED:
        raise OfferExpired
    elif latest.state is not SignUpState.CONFIRMED:
        raise NoOffer
    return my_sign_up(work, activity_id)
