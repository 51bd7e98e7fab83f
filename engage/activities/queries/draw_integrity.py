"""What must always hold about draws, for the recount of integrity.py."""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import TYPE_CHECKING, Final
from uuid import UUID

from sqlalchemy import and_, case, func, or_, select

from engage.activities.models import Activity, ActivityStatus, AdmissionMode, LotteryDraw

if TYPE_CHECKING:
    from sqlalchemy import ColumnElement, Select

_GRACE: Final = timedelta(seconds=90)  # of which the worker leaves 30 to requests on their way
_SETTLING_GRACE: Final = timedelta(minutes=10)  # for the largest draw
_TYPING_GRACE: Final = timedelta(hours=12)  # published in the evening, typed in by the next morning
_SEED_LENGTH: Final = 64


def _draws(*where: ColumnElement[bool]) -> Select[UUID]:
    """Select lotteries by their draw, if there is one."""
    return (
        select(Activity.id)
        .outerjoin(LotteryDraw, LotteryDraw.activity_id == Activity.id)
        .where(Activity.admission_mode == AdmissionMode.LOTTERY, *where)
    )


def _goes_on(now: datetime) -> ColumnElement[bool]:
    """Return the condition that something is still to come of a lottery, or somebody still waits for it."""
    return and_(
        Activity.status == ActivityStatus.PUBLISHED, or_(Activity.ends_at > now, Activity.applied > 0)
    )


def entries_overdue(now: datetime) -> Select[UUID]:
    """Find lotteries whose sign-up has closed and whose entries have not."""
    return _draws(_goes_on(now), Activity.sign_up_closes_at < now - _GRACE, LotteryDraw.closed_at.is_(None))


def draws_overdue(now: datetime) -> Select[UUID]:
    """Find draws that could have been held; with a public number staff may take until the queue closes."""
    late = case(
        (LotteryDraw.public_source.is_(None), LotteryDraw.draws_at < now - _GRACE),
        else_=or_(LotteryDraw.draws_at < now - _TYPING_GRACE, Activity.queue_closes_at < now - _GRACE),
    )
    return _draws(_goes_on(now), LotteryDraw.closed_at.is_not(None), LotteryDraw.drawn_at.is_(None), late)


def settling_overdue(now: datetime) -> Select[UUID]:
    """Find draws that were held and have not given everybody what they drew."""
    return _draws(
        _goes_on(now), LotteryDraw.drawn_at < now - _SETTLING_GRACE, LotteryDraw.settled_at.is_(None)
    )


def drawn_unlike_draw(_: datetime) -> Select[UUID]:
    """Find activities that are drawn without a settled draw, or not drawn with one."""
    return (
        select(Activity.id)
        .outerjoin(LotteryDraw, LotteryDraw.activity_id == Activity.id)
        .where(Activity.drawn != LotteryDraw.settled_at.is_not(None))
    )


def other_seed(_: datetime) -> Select[UUID]:
    """Find draws whose seed is not the one committed to; what is no seed at all is none either."""
    in_hexadecimal = and_(
        func.length(LotteryDraw.seed) == _SEED_LENGTH, func.trim(LotteryDraw.seed, "0123456789abcdef") == ""
    )
    digest = func.encode(func.sha256(func.decode(LotteryDraw.seed, "hex")), "hex")
    shown = case((in_hexadecimal, digest), else_=None)
    return select(LotteryDraw.activity_id).where(
        LotteryDraw.seed.is_not(None), shown.is_distinct_from(LotteryDraw.commitment)
    )


def other_entries(_: datetime) -> Select[UUID]:
    """Find draws whose entries are not those of the digest that was shown."""
    digest = func.encode(func.sha256(func.convert_to(LotteryDraw.entries, "UTF8")), "hex")
    return select(LotteryDraw.activity_id).where(
        LotteryDraw.closed_at.is_not(None), digest.is_distinct_from(LotteryDraw.entries_digest)
    )
