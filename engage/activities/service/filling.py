"""Giving free places to whom they are due: the one way out of the queue."""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import TYPE_CHECKING, Any, Final, NamedTuple
from uuid import UUID

from sqlalchemy import Integer, Uuid, bindparam, select, update

from engage.activities.models import Activity, ActivityStatus, Pool, SignUp, SignUpState
from engage.activities.queries.credit import end_of_holding
from engage.activities.queries.holding import held_back
from engage.activities.service.quiet import QuietHours, audible
from engage.activities.service.rules import lock_people
from engage.core.columns import UtcDateTime
from engage.core.config import Overlap
from engage.core.prepared import Prepared
from engage.messages import service as messages
from engage.messages.models import MessageKind

if TYPE_CHECKING:
    from engage.core.db import Work

_SIGN_UPS: Final[Any] = SignUp.__table__
_GIVE: Final = Prepared(
    update(_SIGN_UPS)
    .where(_SIGN_UPS.c.seq == bindparam("of"))
    .values({name: bindparam(name) for name in ("state", "pool", "promoted_at", "offered_at", "offer_expires_at", "updated_at")})
)  # fmt: skip
_HOLD: Final = Prepared(
    update(_SIGN_UPS)
    .where(_SIGN_UPS.c.seq == bindparam("of"))
    .values({name: bindparam(name) for name in ("held_until", "updated_at")})
)


class _Activity(NamedTuple):
    """What decides about the free places of an activity."""

    id: UUID
    title: str
    capacity: int
    taken: int
    waiting: int
    held: int
    starts_at: datetime
    pools_merged: bool
    pools_merge_at: datetime | None
    offers_from_at: datetime
    queue_closes_at: datetime
    walk_ins_present: int
    offer_minutes: int
    quiet_from: int
    quiet_until: int
    overlap: Overlap


_ACTIVITY: Final = Prepared(
    select(*(getattr(Activity, name) for name in _Activity._fields)).where(
        Activity.id == bindparam("activity_id", type_=Uuid()),
        Activity.status == ActivityStatus.PUBLISHED,
        Activity.ends_at > bindparam("now", type_=UtcDateTime()),
    ),
    _Activity,
)
_LINE: Final = (
    select(SignUp.seq, SignUp.person_id, SignUp.pool_mask)
    .where(
        SignUp.activity_id == bindparam("activity_id", type_=Uuid()),
        SignUp.state == SignUpState.WAITLISTED,
        SignUp.held_until.is_(None),
    )
    .order_by(SignUp.rank, SignUp.seq)
    .limit(bindparam("rows", type_=Integer()))
)


class _Turn(NamedTuple):
    """Somebody in the queue."""

    seq: int
    person_id: UUID
    pool_mask: int


_MASK: Final[Any] = bindparam("mask", type_=Integer())
_NEXT: Final = Prepared(_LINE, _Turn)
_NEXT_IN_POOLS: Final = Prepared(_LINE.where(SignUp.pool_mask.bitwise_and(_MASK) != 0), _Turn)


def fill(
    work: Work,
    activity_id: UUID,
    *,
    at_once: bool = False,
    drawn: bool = False,
    told: MessageKind = MessageKind.SIGN_UP_PROMOTED,
) -> int:
    """Give every free place of a locked activity to the head of its queue; return how many were given.

    Far from the start a place is confirmed; inside the offer window it is offered, for the time that the activity sets without quiet
    hours; once the queue has closed nothing is given. ``at_once`` confirms whatever the time, for who was accepted or drawn; from who was ``drawn``
    no walk-in takes a place. Each is told, after quiet hours. Pools that are due are merged first. Here credit and places elsewhere are looked at for whoever waits, however they came
    to wait: who may have no place now is held back, and whoever stands behind them is next.
    """
    activity = _ACTIVITY.one_or_none(work.session, {"activity_id": activity_id, "now": work.now})
    if activity is None:
        return 0
    is_divided = not activity.pools_merged
    if is_divided and activity.pools_merge_at is not None and activity.pools_merge_at <= work.now:
        merge_pools(work, activity_id)
        is_divided = False
    terms = _terms(work, activity, at_once=at_once)
    if terms is None or activity.waiting <= activity.held:
        return 0
    undivided: dict[int | None, int] = {None: activity.capacity - activity.taken}
    free = _free_by_pool(work, activity_id) if is_divided else undivided
    if work.now >= activity.queue_closes_at and not drawn:
        free = _left_by_walk_ins(free, activity.walk_ins_present)
    return _give(work, activity, free, terms, told)


def _left_by_walk_ins(free: dict[int | None, int], present: int) -> dict[int | None, int]:
    left = {}
    for pool, places in reversed(free.items()):
        used = min(places, present)
        present -= used
        left[pool] = places - used
    return {pool: places for pool, places in reversed(left.items()) if places > 0}


def merge_pools(work: Work, activity_id: UUID) -> None:
    """Make the pools of a locked activity one; a trigger says so to each of them, and their counters bind no more."""
    work.session.execute(update(Activity).where(Activity.id == activity_id).values(pools_merged=True))


def _terms(work: Work, activity: _Activity, *, at_once: bool) -> dict[str, Any] | None:
    """Return the columns of somebody who gets a place now, None when nobody does."""
    given = {"promoted_at": work.now, "updated_at": work.now, "offered_at": None, "offer_expires_at": None}
    confirmed = {**given, "state": SignUpState.CONFIRMED}
    if at_once:
        return confirmed
    if work.now >= activity.queue_closes_at:
        return None
    if work.now <= activity.offers_from_at:
        return confirmed
    expires_at = _end_of_offer(work, activity)
    if expires_at is None:
        return None
    return {
        **given,
        "state": SignUpState.OFFERED,
        "offered_at": work.now,
        "offer_expires_at": expires_at,
        "promoted_at": None,
    }


def _end_of_offer(work: Work, activity: _Activity) -> datetime | None:
    """Return until when an offer made now holds; None: it would be over before anybody hears of it, and the place is for the door."""
    quiet = QuietHours(activity.quiet_from, activity.quiet_until)
    expires_at = min(
        quiet.after(work.now, timedelta(minutes=activity.offer_minutes)), activity.queue_closes_at
    )
    return expires_at if expires_at > quiet.next_end(work.now) else None


def renew_offers(work: Work, activity_id: UUID) -> int:
    """Let offers of a locked activity that ended while it was called off hold once more, as if made now; return how many.

    Those of which nobody would hear in time are left to expire.
    """
    activity = _ACTIVITY.one_or_none(work.session, {"activity_id": activity_id, "now": work.now})
    expires_at = activity and _end_of_offer(work, activity)
    if activity is None or expires_at is None:
        return 0
    people = work.session.scalars(
        update(SignUp)
        .where(
            SignUp.activity_id == activity_id,
            SignUp.state == SignUpState.OFFERED,
            SignUp.offer_expires_at <= work.now,
        )
        .values(offered_at=work.now, offer_expires_at=expires_at, updated_at=work.now)
        .returning(SignUp.person_id)
        .execution_options(synchronize_session=False)
    ).all()
    terms = {"state": SignUpState.OFFERED, "offer_expires_at": expires_at}
    _tell(work, activity, list(people), terms, MessageKind.PLACE_OFFERED)
    return len(people)


def _free_by_pool(work: Work, activity_id: UUID) -> dict[int | None, int]:
    rows = work.session.execute(
        select(Pool.position, Pool.capacity - Pool.taken)
        .where(Pool.activity_id == activity_id)
        .order_by(Pool.overflow_rank.nulls_first(), Pool.position)
    )
    return {position: free for position, free in rows if free > 0}


def _give(
    work: Work, activity: _Activity, free: dict[int | None, int], terms: dict[str, Any], told: MessageKind
) -> int:
    given = 0
    while sum(free.values()) > 0:
        places, left = _share_out(_next_in_line(work, activity.id, free), free)
        if not places:
            break
        if _hold_back(work, activity, [turn for turn, _ in places]):
            continue  # with those behind them
        # One after another, in their order: the database refuses whoever passes somebody that stands ahead.
        for turn, pool in places:
            _GIVE.all(work.session, {"of": turn.seq, "pool": pool, **terms})
        _tell(work, activity, [turn.person_id for turn, _ in places], terms, told)
        given, free = given + len(places), left
    return given


def _next_in_line(work: Work, activity_id: UUID, free: dict[int | None, int]) -> list[_Turn]:
    values = {"activity_id": activity_id, "rows": sum(free.values())}
    if None in free:
        return _NEXT.all(work.session, values)
    mask = sum(1 << (position - 1) for position in free if position)
    return _NEXT_IN_POOLS.all(work.session, {**values, "mask": mask})


def _hold_back(work: Work, activity: _Activity, turns: list[_Turn]) -> bool:
    """Hold back who of those whose turn has come may have no place now; say whether there are any.

    For too few points of credit until the last hours; for a place elsewhere, where the activity allows none, until its queue closes. Who is held
    for nothing any more is found by the worker (due.py).
    """
    last_hours = end_of_holding(work, activity.starts_at) if work.settings.credit else None
    is_alone = activity.overlap is Overlap.REFUSE
    if last_hours is None and not is_alone:
        return False
    sign_ups = [turn.seq for turn in turns]
    held = held_back(work, sign_ups)
    if is_alone and not held:
        # Another activity may be giving them a place at this moment: they are looked at again once nobody else can.
        lock_people(work, [turn.person_id for turn in turns])
        held = held_back(work, sign_ups)
    for seq, clashes in held:
        until = activity.queue_closes_at if clashes else last_hours
        _HOLD.all(work.session, {"of": seq, "held_until": until, "updated_at": work.now})
    return bool(held)


def _share_out(
    waiting: list[_Turn], free: dict[int | None, int]
) -> tuple[list[tuple[_Turn, int | None]], dict[int | None, int]]:
    """Return (turn, pool) for those whose turn has come, and what is then left of the places."""
    places: list[tuple[_Turn, int | None]] = []
    left = dict(free)
    for turn in waiting:
        pool = next(iter(left), None) if None in left else _pool_for(turn.pool_mask, left)
        if pool not in left:
            continue
        places.append((turn, pool))
        left[pool] -= 1
        if not left[pool]:
            del left[pool]
    return places, left


def _pool_for(mask: int, free: dict[int | None, int]) -> int | None:
    """Return the first pool that is for a person, else the next in order of overflow that has a place."""
    first = (mask & -mask).bit_length()
    if first in free:
        return first
    return next((pool for pool in free if pool and mask >> (pool - 1) & 1), None)


def _tell(
    work: Work, activity: _Activity, people: list[UUID], terms: dict[str, Any], told: MessageKind
) -> None:
    about: dict[str, Any] = {"activity_id": str(activity.id), "title": activity.title}
    if terms["state"] is SignUpState.OFFERED:
        told, about["expires_at"] = MessageKind.PLACE_OFFERED, terms["offer_expires_at"].isoformat()
    else:
        about["starts_at"] = activity.starts_at.isoformat()
    messages.enqueue_all(
        work.session, work.now, people, told, not_before=audible(activity, work.now), **about
    )
