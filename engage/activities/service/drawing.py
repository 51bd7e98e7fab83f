"""Drawing: a seed that is committed to, entries that are closed, a draw that is held once and settled batch by batch."""

from __future__ import annotations

import logging
from collections.abc import Callable
from datetime import timedelta
from typing import TYPE_CHECKING, Any, Final
from uuid import UUID

from sqlalchemy import ColumnElement, Select, bindparam, exists, select, update
from sqlalchemy.exc import IntegrityError
from sqlalchemy.orm import aliased

from engage.activities.models import (
    UNRANKED,
    Activity,
    ActivityStatus,
    CheckIn,
    LotteryDraw,
    SignUp,
    SignUpState,
)
from engage.activities.queries.pools import free_in_pools
from engage.activities.service import admission
from engage.activities.service.draw import (
    ALGORITHM,
    Entry,
    as_text,
    commitment_of,
    digest_of,
    in_order,
    new_seed,
    read_text,
)
from engage.activities.service.quiet import audible
from engage.core import clock
from engage.core.crypto import SealBrokenError
from engage.core.db import Nobody, Work
from engage.messages import service as messages
from engage.messages.models import MessageKind

if TYPE_CHECKING:
    from datetime import datetime

    from engage.core.db import Database

_BATCH: Final = 20
# Each change of state changes the counters of one row of activity, which grows slow within one transaction: 20,000 took 94 s.
_SETTLED_AT_ONCE: Final = 500
# Who pressed in the last second may still wait for the row of the activity.
_GRACE: Final = timedelta(seconds=30)
_SIGN_UPS: Final[Any] = SignUp.__table__
# Who walked in before the draw needs no rank, and the database gives them none.
_RANK: Final = (
    update(_SIGN_UPS)
    .where(_SIGN_UPS.c.id == bindparam("of"), _SIGN_UPS.c.state != SignUpState.WALK_IN)
    .values(rank=bindparam("position"))
)

log = logging.getLogger("engage.lottery")


def commit_to_seed(work: Work, draw: LotteryDraw) -> None:
    """Give a draw a new seed: sealed, and its digest to be shown."""
    seed = new_seed()
    draw.sealed_seed = work.settings.keyring.seal(seed.hex(), _purpose(draw.activity_id))
    draw.commitment, draw.algorithm = commitment_of(seed), ALGORITHM


def _purpose(activity_id: UUID) -> str:
    return f"lottery-seed:{activity_id}"


def hold(work: Work, activity: Activity, draw: LotteryDraw, public_value: str | None) -> None:
    """Draw for a locked activity whose entries are closed: reveal the seed, fix the order, and begin to settle it."""
    seed = _opened(work, draw)
    entries = read_text(draw.entries or "")
    live = set(work.session.scalars(select(SignUp.id).where(*_entered(activity.id))))
    ordered, places = in_order(seed, public_value, entries), _places(work, activity)
    draw.seed, draw.public_value, draw.places = seed.hex(), public_value, places
    draw.withdrawn = [str(entry.id) for entry in entries if entry.id not in live]
    draw.drawn_at, draw.drawn_by = work.now, work.actor.id
    work.session.flush()
    if ordered:
        positions = [{"of": entry.id, "position": number} for number, entry in enumerate(ordered, 1)]
        work.session.connection().execute(_RANK, positions)
    _settle(work, activity, draw)


def _entered(activity_id: UUID) -> tuple[ColumnElement[bool], ...]:
    return SignUp.activity_id == activity_id, SignUp.state == SignUpState.APPLIED


def _settle(work: Work, activity: Activity, draw: LotteryDraw) -> None:
    """Give the next entries of a draw, in its order, their places and turns.

    Somebody whom the closing did not see, because their request was under way, has no number and so stands behind all others.
    """
    rows = work.session.execute(
        select(SignUp.id, SignUp.rank)
        .where(*_entered(activity.id))
        .order_by(SignUp.rank, SignUp.seq)
        .limit(_SETTLED_AT_ONCE)
    ).all()
    ranked = [(sign_up_id, None if rank == UNRANKED else rank) for sign_up_id, rank in rows]
    admission.enqueue_ranked(work, activity.id, ranked, told=MessageKind.DRAW_WON, drawn=True)
    if len(rows) < _SETTLED_AT_ONCE:
        draw.settled_at = work.now
        work.session.flush()  # the database takes an activity for drawn once its draw is settled
        activity.drawn = True
        work.session.flush()
        # Of a late draw the end of the queue tells those whom it left out: a number there would be void by the time it is read.
        if audible(activity, work.now) < activity.queue_closes_at:
            _tell_losers(work, activity)


def _opened(work: Work, draw: LotteryDraw) -> bytes:
    seed = bytes.fromhex(work.settings.keyring.open(draw.sealed_seed, _purpose(draw.activity_id)))
    if commitment_of(seed) != draw.commitment:
        raise SealBrokenError("not the seed that was committed to")
    return seed


def _places(work: Work, activity: Activity) -> dict[str, Any]:
    """Return what is free, in the pools that are not one yet."""
    divided = not activity.pools_merged and activity.pools_merge_at and activity.pools_merge_at > work.now
    return {
        "capacity": activity.capacity - activity.taken,
        "pools": free_in_pools(work, activity.id) if divided else [],
    }


def _tell_losers(work: Work, activity: Activity) -> None:
    people = work.session.scalars(
        select(SignUp.person_id)
        .where(SignUp.activity_id == activity.id, SignUp.state == SignUpState.WAITLISTED)
        .order_by(SignUp.rank, SignUp.seq)
    )
    about = {"activity_id": str(activity.id), "title": activity.title}
    messages.enqueue_each(
        work.session,
        work.now,
        MessageKind.DRAW_LOST,
        ((person_id, {**about, "number": str(number)}) for number, person_id in enumerate(people, 1)),
        not_before=audible(activity, work.now),
    )


def close_entries_due(database: Database) -> int:
    """Fix the entries of lotteries whose sign-up has closed, a batch at most; return of how many."""
    return _advance(
        database,
        lambda now: (LotteryDraw.closed_at.is_(None), Activity.sign_up_closes_at <= now - _GRACE),
        lambda work, _, draw: close_entries(work, draw),
    )


def close_entries(work: Work, draw: LotteryDraw) -> None:
    """Fix the entries of a locked activity, with the weights that they have now."""
    before, project = aliased(Activity), aliased(Activity)
    was_there = exists(
        select(CheckIn.person_id)
        .join(before, before.id == CheckIn.activity_id)
        .join(project, project.project_id == before.project_id)
        .where(CheckIn.person_id == SignUp.person_id, project.id == draw.activity_id)
    )
    rows = work.session.execute(
        select(SignUp.id, SignUp.pool_mask, was_there).where(*_entered(draw.activity_id))
    )
    text = as_text(
        Entry(sign_up_id, 1 if known else draw.first_time_weight, pools) for sign_up_id, pools, known in rows
    )
    draw.closed_at, draw.entries, draw.entries_digest = work.now, text, digest_of(text)


def draw_due(database: Database) -> int:
    """Hold the draws whose time has come and that wait for no public number, a batch at most; return how many."""
    return _advance(
        database,
        lambda now: (
            LotteryDraw.drawn_at.is_(None),
            LotteryDraw.closed_at.is_not(None),
            LotteryDraw.draws_at <= now,
            LotteryDraw.public_source.is_(None),
        ),
        lambda work, activity, draw: hold(work, activity, draw, None),
    )


def settle_due(database: Database) -> int:
    """Go on with draws that were too large for one transaction, some entries each; return of how many."""
    return _advance(database, lambda _: (LotteryDraw.drawn_at.is_not(None),), _settle)


def _advance(
    database: Database,
    due: Callable[[datetime], tuple[ColumnElement[bool], ...]],
    act: Callable[[Work, Activity, LotteryDraw], None],
) -> int:
    """Do what is due to lotteries that are not settled, each activity locked in a transaction of its own."""
    with database.reading() as connection:
        now = clock.now()
        found = connection.scalars(_unsettled(now, LotteryDraw.activity_id, *due(now)).limit(_BATCH)).all()
    return sum(_advance_one(database, activity_id, due, act) for activity_id in found)


def _advance_one(
    database: Database,
    activity_id: UUID,
    due: Callable[[datetime], tuple[ColumnElement[bool], ...]],
    act: Callable[[Work, Activity, LotteryDraw], None],
) -> bool:
    try:
        with database.transaction() as session:
            work = Work(session, Nobody(), clock.now(), database.settings)
            admission.lock(work, activity_id)
            activity = session.scalar(
                _unsettled(work.now, Activity, Activity.id == activity_id, *due(work.now))
            )
            draw = session.get(LotteryDraw, activity_id)
            if activity is None or draw is None:
                return False  # somebody was faster, or it was cancelled or put off meanwhile
            act(work, activity, draw)
    except (SealBrokenError, IntegrityError) as error:  # this draw cannot be held, the others can
        log.exception("draw", exc_info=error, extra={"fields": {"activity_id": str(activity_id)}})
        return False
    return True


def _unsettled(now: datetime, what: Any, *conditions: ColumnElement[bool]) -> Select[Any]:
    return (
        select(what)
        .select_from(LotteryDraw)
        .join(Activity, Activity.id == LotteryDraw.activity_id)
        .where(
            LotteryDraw.settled_at.is_(None),
            Activity.status == ActivityStatus.PUBLISHED,
            Activity.ends_at > now,
            *conditions,
        )
    )
