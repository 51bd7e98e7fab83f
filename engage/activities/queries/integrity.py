"""What must always hold about places and turns, recounted from the rows.

Each check is a SELECT of the activities where it does not hold, one row for each violation. All are sent as one statement: they see one
moment of the database, and read the sign-ups once. To add a check, write its SELECT and name it in ``CHECKS``.
"""

from __future__ import annotations

import time
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from typing import TYPE_CHECKING, Any, Final
from uuid import UUID

from sqlalchemy import and_, case, exists, extract, func, literal, literal_column, or_, select, union_all

from engage.activities.models import (
    HOLDS_PLACE,
    Activity,
    ActivityStatus,
    CheckIn,
    Pool,
    SignUp,
    SignUpState,
)
from engage.activities.queries import draw_integrity as draws
from engage.activities.queries.hours import not_mirrored, overlapping
from engage.activities.queries.inactive import held_by_inactive
from engage.activities.queries.review import too_late_to_decide
from engage.core.clock import day_start, shanghai_day

if TYPE_CHECKING:
    from collections.abc import Callable

    from sqlalchemy import CTE, ColumnElement, Connection, Select

EXAMPLES: Final = 10
_GRACE: Final = timedelta(minutes=1)  # a worker may be this late
_DAY: Final = 86_400


@dataclass(frozen=True, slots=True)
class Check:
    """One thing that must hold; ``found`` selects an activity's id for each time that it does not at an instant."""

    name: str
    zh: str
    en: str
    found: Callable[[datetime], Select[UUID]]


@dataclass(frozen=True, slots=True)
class Finding:
    """What a check came to; ``examples`` are ids of activities."""

    name: str
    zh: str
    en: str
    violations: int = 0
    examples: list[UUID] = field(default_factory=list)


@dataclass(frozen=True, slots=True)
class Report:
    """What was looked at, and what came of it."""

    as_of: datetime
    checked: dict[str, int]
    checks: list[Finding]
    seconds: float

    @property
    def violations(self) -> int:
        """Return how many violations there are in all."""
        return sum(finding.violations for finding in self.checks)


def _counters() -> CTE:
    def count(condition: ColumnElement[bool], name: str) -> Any:
        return func.count().filter(condition).label(name)

    return (
        select(
            SignUp.activity_id,
            count(SignUp.state.in_(HOLDS_PLACE), "taken"),
            count(SignUp.state == SignUpState.WAITLISTED, "waiting"),
            count(SignUp.held_until.is_not(None), "held"),
            count(SignUp.state == SignUpState.APPLIED, "applied"),
            func.min(SignUp.starts_at).label("first_start"),
            func.max(SignUp.starts_at).label("last_start"),
            func.min(SignUp.ends_at).label("first_end"),
            func.max(SignUp.ends_at).label("last_end"),
        )
        .group_by(SignUp.activity_id)
        .cte("recount")
    )


def _placed_in_pools() -> CTE:
    return (
        select(SignUp.activity_id, SignUp.pool, SignUp.pool_mask, func.count().label("taken"))
        .where(SignUp.pool.is_not(None), SignUp.state.in_(HOLDS_PLACE))
        .group_by(SignUp.activity_id, SignUp.pool, SignUp.pool_mask)
        .cte("placed_in_pools")
    )


_ROWS: Final = _counters()
_POOL_ROWS: Final = _placed_in_pools()
_POOLS: Final = (
    select(_POOL_ROWS.c.activity_id, _POOL_ROWS.c.pool, func.sum(_POOL_ROWS.c.taken).label("taken"))
    .group_by(_POOL_ROWS.c.activity_id, _POOL_ROWS.c.pool)
    .cte("pool_recount")
)
_TAKEN: Final = func.coalesce(_ROWS.c.taken, 0)
_POOL_TAKEN: Final = func.coalesce(_POOLS.c.taken, 0)
_IS_ON: Final = Activity.status == ActivityStatus.PUBLISHED


def _activities(*where: ColumnElement[bool]) -> Select[UUID]:
    return select(Activity.id).outerjoin(_ROWS, _ROWS.c.activity_id == Activity.id).where(*where)


def _pools(*where: ColumnElement[bool]) -> Select[UUID]:
    same = and_(_POOLS.c.activity_id == Pool.activity_id, _POOLS.c.pool == Pool.position)
    return select(Pool.activity_id).outerjoin(_POOLS, same).where(*where)


def _pools_and_activity(*where: ColumnElement[bool]) -> Select[UUID]:
    return _pools(*where).join(Activity, Activity.id == Pool.activity_id)


def _counter(name: str) -> Callable[[datetime], Select[UUID]]:
    return lambda _: _activities(getattr(Activity, name) != func.coalesce(_ROWS.c[name], 0))


def _two_live(_: datetime) -> Select[UUID]:
    return (
        select(SignUp.activity_id)
        .where(
            SignUp.state != literal_column("'cancelled'")
        )  # word for word as in the index, which has them in order
        .group_by(SignUp.activity_id, SignUp.person_id)
        .having(func.count() > 1)
    )


def _stranded(now: datetime) -> Select[UUID]:
    """Find free places that somebody in the queue could have, while the queue moves."""
    could_have = exists().where(
        SignUp.activity_id == Activity.id,
        SignUp.state == SignUpState.WAITLISTED,
        SignUp.held_until.is_(None),
        SignUp.pool_mask.bitwise_rshift(Pool.position - 1).bitwise_and(1) == 1,
    )
    free_pool = (
        _pools(
            Pool.activity_id == Activity.id,
            Pool.capacity > _POOL_TAKEN,
            could_have.correlate(Activity, Pool),
        )
        .correlate(Activity)
        .exists()
    )
    waiting = func.coalesce(_ROWS.c.waiting, 0) > func.coalesce(_ROWS.c.held, 0)
    return _activities(
        _IS_ON,
        Activity.ends_at > now,
        Activity.queue_closes_at > now,
        ~_nobody_would_hear(now),
        waiting,
        or_(and_(Activity.pools_merged, Activity.capacity > _TAKEN), and_(~Activity.pools_merged, free_pool)),
    )


def _nobody_would_hear(now: datetime) -> ColumnElement[bool]:
    """Return the condition that an offer made now would end before the quiet hours do: then none is made."""
    midnight = day_start(shanghai_day(now))
    minute = (now - midnight) // timedelta(minutes=1)
    begins, ends = Activity.quiet_from, Activity.quiet_until
    begin_of_day = int(midnight.timestamp())
    end_today, end_tomorrow = begin_of_day + ends * 60, begin_of_day + ends * 60 + _DAY
    quiet_until = case(
        (and_(begins <= ends, begins <= minute, minute < ends), end_today),
        (and_(begins > ends, minute >= begins), end_tomorrow),
        (and_(begins > ends, minute < ends), end_today),
        else_=0,
    )
    return and_(Activity.offers_from_at < now, extract("epoch", Activity.queue_closes_at) <= quiet_until)


def _places_where(*where: ColumnElement[bool]) -> Select[UUID]:
    return select(SignUp.activity_id).join(Activity, Activity.id == SignUp.activity_id).where(*where)


def _outside_pools(_: datetime) -> Select[UUID]:
    return _places_where(~Activity.pools_merged, SignUp.state.in_(HOLDS_PLACE), SignUp.pool.is_(None))


def _wrong_pool(_: datetime) -> Select[UUID]:
    rows = _POOL_ROWS.c
    is_there = exists().where(Pool.activity_id == rows.activity_id, Pool.position == rows.pool)
    return select(rows.activity_id).where(
        or_(~is_there, rows.pool_mask.bitwise_rshift(rows.pool - 1).bitwise_and(1) == 0)
    )


def _not_admitted(_: datetime) -> Select[UUID]:
    return (
        select(CheckIn.activity_id)
        .outerjoin(
            SignUp,
            and_(
                SignUp.id == CheckIn.sign_up_id,
                SignUp.activity_id == CheckIn.activity_id,
                SignUp.person_id == CheckIn.person_id,
                SignUp.state.in_((SignUpState.CONFIRMED, SignUpState.WALK_IN)),
            ),
        )
        .where(SignUp.id.is_(None))
    )


def _walk_in_unseen(_: datetime) -> Select[UUID]:
    return (
        select(SignUp.activity_id)
        .outerjoin(CheckIn, CheckIn.sign_up_id == SignUp.id)
        .where(SignUp.state == SignUpState.WALK_IN, CheckIn.sign_up_id.is_(None))
    )


def _other_walk_ins(_: datetime) -> Select[UUID]:
    there = (
        select(SignUp.activity_id, func.count().label("present"))
        .join(CheckIn, CheckIn.sign_up_id == SignUp.id)
        .where(SignUp.state == SignUpState.WALK_IN, CheckIn.left_at.is_(None))
        .group_by(SignUp.activity_id)
        .subquery()
    )
    differs = Activity.walk_ins_present != func.coalesce(there.c.present, 0)
    return select(Activity.id).outerjoin(there, there.c.activity_id == Activity.id).where(differs)


def _offers_overdue(now: datetime) -> Select[UUID]:
    """Find offers past their end; while an activity is called off they wait for its re-opening."""
    return _places_where(
        SignUp.state == SignUpState.OFFERED,
        SignUp.offer_expires_at < now - _GRACE,
        Activity.status != ActivityStatus.CANCELLED,
    )


def _of_inactive(now: datetime) -> Select[UUID]:
    return select(SignUp.activity_id).where(*held_by_inactive(now, now - _GRACE))


def _held_overdue(now: datetime) -> Select[UUID]:
    return select(SignUp.activity_id).where(SignUp.held_until < now - _GRACE)


def _queues_overdue(now: datetime) -> Select[UUID]:
    return select(Activity.id).where(
        Activity.status.in_((ActivityStatus.PUBLISHED, ActivityStatus.SUMMARISED)),
        Activity.queue_closes_at < now - _GRACE,
        Activity.waiting > 0,
    )


def _pools_overdue(now: datetime) -> Select[UUID]:
    return select(Activity.id).where(
        _IS_ON, Activity.ends_at > now, ~Activity.pools_merged, Activity.pools_merge_at < now - _GRACE
    )


def _applications_overdue(now: datetime) -> Select[UUID]:
    return select(Activity.id).where(Activity.applied > 0, too_late_to_decide(now - _GRACE))


def _unequal_pools(_: datetime) -> Select[UUID]:
    """Find activities in pools that do not add up to their capacity."""
    return (
        select(Activity.id)
        .outerjoin(Pool, Pool.activity_id == Activity.id)
        .where(~Activity.pools_merged)
        .group_by(Activity.id, Activity.capacity)
        .having(func.coalesce(func.sum(Pool.capacity), 0) != Activity.capacity)
    )


def _other_times(_: datetime) -> Select[UUID]:
    return _activities(
        or_(
            _ROWS.c.first_start != Activity.starts_at,
            _ROWS.c.last_start != Activity.starts_at,
            _ROWS.c.first_end != Activity.ends_at,
            _ROWS.c.last_end != Activity.ends_at,
        )
    )


CHECKS: Final[tuple[Check, ...]] = (
    Check("taken", "活动的占用名额与报名记录一致", "places taken equal the rows", _counter("taken")),
    Check("waiting", "候补人数与报名记录一致", "turns in the queue equal the rows", _counter("waiting")),
    Check("held", "暂缓人数与报名记录一致", "turns held back equal the rows", _counter("held")),
    Check("applied", "待定申请数与报名记录一致", "open applications equal the rows", _counter("applied")),
    Check("pool_taken", "各名额池的占用与报名记录一致", "places taken in pools equal the rows", lambda _: _pools(Pool.taken != _POOL_TAKEN)),
    Check("over_capacity", "没有活动超额", "no activity is over its capacity", lambda _: _activities(Activity.capacity < _TAKEN)),
    Check(
        "pool_over_capacity", "没有名额池超额", "no pool is over its capacity before pools are one",
        lambda _: _pools_and_activity(~Activity.pools_merged, Pool.capacity < _POOL_TAKEN),
    ),
    Check(
        "pools_merged", "名额池与活动同时合并", "pools are one exactly when their activity says so",
        lambda _: _pools_and_activity(Pool.merged != Activity.pools_merged),
    ),
    Check("pools_sum", "分池时各池名额之和等于活动名额", "places in pools add up to the capacity", _unequal_pools),
    Check("two_live", "每人每场至多一个有效报名", "nobody has two live sign-ups to one activity", _two_live),
    Check("stranded", "没有名额空着而有人候补", "no place is free while somebody who could have it waits", _stranded),
    Check("place_without_pool", "分池活动的名额都在池中", "where places are divided each is in a pool", _outside_pools),
    Check("wrong_pool", "名额所在的池存在且对本人开放", "the pool of a place exists and is open to its holder", _wrong_pool),
    Check("check_in_without_admission", "签到者都有名额或为现场参加", "who checked in has a place or walked in", _not_admitted),
    Check("walk_in_without_check_in", "现场参加者都已签到", "who walked in has checked in", _walk_in_unseen),
    Check("walk_ins_present", "在场的现场参加者人数与签到记录一致", "walk-ins who are there equal the rows", _other_walk_ins),
    Check("hours_overlap", "每人有效的服务时长互不重叠", "nobody has hours in force twice for the same time", lambda _: overlapping()),
    Check("reversal_mirrors", "撤销记录与被撤销的时长相互抵消", "a reversal takes back exactly what it reverses", lambda _: not_mirrored()),
    Check("offers_overdue", "没有过期未处理的保留名额", "no offer is past its time (else: is a worker running?)", _offers_overdue),
    Check("held_overdue", "没有到期未放行的暂缓", "nobody is held back past their time (else: is a worker running?)", _held_overdue),
    Check("queues_overdue", "候补截止后队列已结束", "no queue goes on after its close (else: is a worker running?)", _queues_overdue),
    Check("pools_overdue", "到时的名额池已合并", "no pools are apart past their time (else: is a worker running?)", _pools_overdue),
    Check("place_of_inactive", "停用或注销的账号不占名额", "nobody whose account is stopped holds anything (else: is a worker running?)", _of_inactive),
    Check("applications_overdue", "过了时限的报名都已审核或结束", "no application waits for a decision past its time (else: is a worker running?)", _applications_overdue),
    Check("entries_overdue", "报名截止的抽签都已封存名单", "no lottery whose sign-up has closed has its entries open (else: is a worker running?)", draws.entries_overdue),
    Check("draws_overdue", "到时的抽签都已举行", "no draw is past its time (else: is a worker running? was the public number typed in?)", draws.draws_overdue),
    Check("settling_overdue", "抽签后名额都已发放", "no draw is half settled (else: is a worker running?)", draws.settling_overdue),
    Check("drawn", "活动标为已抽签与抽签记录一致", "an activity is drawn exactly when its draw is settled", draws.drawn_unlike_draw),
    Check("draw_seeds", "公布的种子与事先承诺一致", "the seed of a draw is the one committed to", draws.other_seed),
    Check("draw_entries", "抽签名单与公布的摘要一致", "the entries of a draw are those of their digest", draws.other_entries),
    Check("times", "报名记录的时间与活动一致", "sign-ups bear the times of their activity", _other_times),
)  # fmt: skip


def examine(db: Connection, now: datetime) -> Report:
    """Recount everything and return what does not hold: two statements, that of the checks at one moment."""
    started = time.perf_counter()
    checked = db.execute(
        select(
            select(func.count()).select_from(Activity).scalar_subquery().label("activities"),
            select(func.count()).select_from(SignUp).scalar_subquery().label("sign_ups"),
        )
    ).one()
    findings = {check.name: Finding(check.name, check.zh, check.en) for check in CHECKS}
    for name, activity_id, violations in db.execute(union_all(*(_counted(check, now) for check in CHECKS))):
        examples = [*findings[name].examples, activity_id]
        findings[name] = replace(findings[name], violations=int(violations), examples=examples)
    seconds = round(time.perf_counter() - started, 3)
    return Report(now, dict(checked._mapping), list(findings.values()), seconds)  # noqa: SLF001 - SQLAlchemy's own name for it


def _counted(check: Check, now: datetime) -> Select[Any]:
    """Return the first activities where a check does not hold, each beside the number of all violations."""
    found = check.found(now).subquery(check.name)
    (activity_id,) = found.c
    some = (
        select(activity_id.label("activity_id"), func.sum(func.count()).over().label("violations"))
        .group_by(activity_id)
        .order_by(activity_id)
        .limit(EXAMPLES)
        .subquery(f"some_{check.name}")
    )
    return select(literal(check.name), some.c.activity_id, some.c.violations)
