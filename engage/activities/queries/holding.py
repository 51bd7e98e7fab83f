"""Reads of who is held back in a queue, and why: too few points of credit, or a place elsewhere that the activity does not allow.

A reason is looked for when somebody's turn has come, and again for as long as they are held: no row says which it was, so none can be out of date.
"""

from __future__ import annotations

from datetime import timedelta
from typing import TYPE_CHECKING, Any, Final

from sqlalchemy import ColumnElement, and_, false, or_, select

from engage.activities.models import Activity, CreditEntry, SignUp
from engage.activities.queries.credit import too_few_points
from engage.activities.queries.overlaps import has_place_elsewhere
from engage.core.config import Overlap

if TYPE_CHECKING:
    from collections.abc import Sequence
    from datetime import datetime

    from sqlalchemy import Select

    from engage.core.config import Settings
    from engage.core.db import Work

_CLASHES: Final = and_(Activity.overlap == Overlap.REFUSE, has_place_elsewhere())


def _has_too_few_points(settings: Settings, now: datetime) -> ColumnElement[bool]:
    """Return the condition that the person of a sign-up has too few points for a place so long before the start."""
    if not settings.credit:
        return false()
    mine = too_few_points(settings, now).where(CreditEntry.person_id == SignUp.person_id).correlate(SignUp)
    last_hours = now + timedelta(hours=settings.credit_held_hours)
    return and_(Activity.starts_at > last_hours, mine.exists())


def held_back(work: Work, sign_ups: Sequence[int]) -> list[tuple[int, bool]]:
    """Return (seq, whether a place elsewhere is in the way) of those of some sign-ups who may have no place now. One statement."""
    rows = work.session.execute(
        select(SignUp.seq, _CLASHES)
        .join(Activity, Activity.id == SignUp.activity_id)
        .where(SignUp.seq.in_(sign_ups), or_(_CLASHES, _has_too_few_points(work.settings, work.now)))
    )
    return [(seq, clashes) for seq, clashes in rows]


def held_for_nothing(settings: Settings, now: datetime) -> Select[Any]:
    """Return the select of sign-ups, by ``seq``, that are still held back although nothing keeps them from a place any more."""
    return (
        select(SignUp.seq)
        .join(Activity, Activity.id == SignUp.activity_id)
        .where(SignUp.held_until > now, ~or_(_CLASHES, _has_too_few_points(settings, now)))
    )
