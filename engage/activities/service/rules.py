"""What an activity asks of those who join, and who meets it."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import TYPE_CHECKING, Any, Final
from uuid import UUID

from sqlalchemy import func, select

from engage.activities.access import AUDIENCES
from engage.activities.errors import (
    AgeNotAllowed,
    CountyNotAllowed,
    DailyLimitReached,
    MembersOnly,
    NoPoolForYou,
    Overlaps,
    WeeklyLimitReached,
)
from engage.activities.models import HOLDS_PLACE, Activity, Audience, SignUp, SignUpState
from engage.activities.queries.rules import read_rules
from engage.core.clock import age_on, day_start, shanghai_day
from engage.core.config import Overlap
from engage.identity.errors import ProfileIncomplete
from engage.identity.models import Person
from engage.regions.models import county_of

if TYPE_CHECKING:
    from collections.abc import Sequence
    from datetime import date

    from engage.core.db import Context, Work
    from engage.core.errors import DomainError

_KEPT: Final = 1024


@dataclass(frozen=True, slots=True)
class PoolRule:
    """Whom a pool is for; ``bit`` stands for it in masks."""

    bit: int
    audience: Audience
    county_codes: frozenset[str]
    takes_overflow: bool


@dataclass(frozen=True, slots=True)
class Rules:
    """What one version of an activity asks. ``pools`` is empty where places are not divided."""

    activity_id: UUID
    version: int
    starts_at: datetime
    ends_at: datetime
    min_age: int | None
    max_age: int | None
    county_codes: frozenset[str]
    members_only: bool
    questions: list[dict[str, Any]]
    overlap: Overlap
    offers_from_at: datetime
    pools_merge_at: datetime | None
    project_id: UUID
    daily_limit: int | None
    weekly_limit: int | None
    pools: tuple[PoolRule, ...]

    def needs_lock(self, now: datetime) -> bool:
        """Say whether more than the activity's own row decides, so that one statement is not enough."""
        about_person = self.overlap is Overlap.REFUSE or self.daily_limit or self.weekly_limit
        about_pools = self.pools_merge_at is not None and (
            now > self.offers_from_at or now >= self.pools_merge_at
        )
        return bool(about_person or (self.pools and about_pools))


# A copy of what was read last. It may be old: admission names its version, and lets nobody in by another.
_rules: dict[UUID, Rules] = {}


def known_rules(activity_id: UUID) -> Rules | None:
    """Return what an activity asked when it was read last, if it was; see ``forget``."""
    return _rules.get(activity_id)


def rules_of(look: Context, activity_id: UUID) -> Rules:
    """Return what an activity asks, perhaps as it was a moment ago; see ``forget``.

    Raises:
        NoSuchActivity: there is none that is published.

    """
    known = _rules.get(activity_id)
    return known if known is not None else read_rules_now(look, activity_id)


def read_rules_now(look: Context, activity_id: UUID) -> Rules:
    """Return what an activity asks now.

    Raises:
        NoSuchActivity: there is none that is published.

    """
    columns, pools = read_rules(look, activity_id)
    rules = Rules(
        activity_id=activity_id,
        **{**columns, "county_codes": frozenset(columns["county_codes"])},
        pools=tuple(
            PoolRule(1 << (position - 1), audience, frozenset(counties), overflow_rank is not None)
            for position, audience, counties, overflow_rank in pools
        ),
    )
    if len(_rules) >= _KEPT:
        _rules.clear()
    _rules[activity_id] = rules
    return rules


def forget(activity_id: UUID) -> None:
    """Let the next look read the rules anew."""
    _rules.pop(activity_id, None)


def check_eligible(look: Context, rules: Rules, person: Any, belongs: set[Audience] | None = None) -> int:
    """Return the mask of the pools open to a person, 0 where places are not divided.

    The age counts on the Shanghai day of the start. One statement where membership decides and ``belongs`` does not say, none otherwise.

    Raises:
        ProfileIncomplete: name, birth date or places are not known.
        AgeNotAllowed, CountyNotAllowed, MembersOnly: outside what the activity asks.
        NoPoolForYou: every pool is for others.

    """
    if not (person.name and person.birth_on and person.hometown_code and person.current_code):
        raise ProfileIncomplete
    _check_age(rules, person.birth_on)
    counties = {county_of(person.hometown_code), county_of(person.current_code)}
    if rules.county_codes and not counties & rules.county_codes:
        raise CountyNotAllowed
    if belongs is None:
        belongs = belongings(look, rules, [person.id])[person.id]
    if rules.members_only and Audience.MEMBERS not in belongs:
        raise MembersOnly
    return _pools_open_to(rules, counties, belongs) if rules.pools else 0


def _check_age(rules: Rules, birth_on: date) -> None:
    age = age_on(birth_on, shanghai_day(rules.starts_at))
    if (rules.min_age is not None and age < rules.min_age) or (
        rules.max_age is not None and age > rules.max_age
    ):
        raise AgeNotAllowed


def belongings(look: Context, rules: Rules, person_ids: Sequence[UUID]) -> dict[UUID, set[Audience]]:
    """Return which of the audiences that matter here each person belongs to. One statement, none where none matters."""
    asked = {pool.audience for pool in rules.pools if pool.audience in AUDIENCES}
    if rules.members_only:
        asked.add(Audience.MEMBERS)
    found: dict[UUID, set[Audience]] = {person_id: set() for person_id in person_ids}
    if not asked:
        return found
    ordered = sorted(asked)
    belong = (AUDIENCES[audience](Person.id) for audience in ordered)
    for person_id, *row in look.db.execute(select(Person.id, *belong).where(Person.id.in_(person_ids))):
        found[person_id] = {audience for audience, belongs in zip(ordered, row, strict=True) if belongs}
    return found


def _pools_open_to(rules: Rules, counties: set[str | None], belongs: set[Audience]) -> int:
    mask = 0
    for pool in rules.pools:
        is_for_them = (
            pool.audience is Audience.EVERYBODY
            or (pool.audience is Audience.COUNTIES and bool(counties & pool.county_codes))
            or pool.audience in belongs
        )
        if is_for_them and (not mask or pool.takes_overflow):
            mask |= pool.bit
    if not mask:
        raise NoPoolForYou
    return mask


def refuse_conflicts(work: Work, rules: Rules, person_id: UUID) -> None:
    """Refuse a person whom their other sign-ups keep from joining; holds their row, so that two at once see each other.

    Raises:
        Overlaps: they have a place elsewhere at the same time, and this activity does not allow that.
        DailyLimitReached, WeeklyLimitReached: they signed up to as many of the project as it allows.

    """
    refusal = conflicts(work, rules, [person_id]).get(person_id)
    if refusal is not None:
        raise refusal


def conflicts(work: Work, rules: Rules, person_ids: Sequence[UUID]) -> dict[UUID, DomainError]:
    """Return why their other sign-ups keep people from joining; holds their rows, in the order of ids."""
    lock_people(work, person_ids)
    found: dict[UUID, DomainError] = {}
    if rules.overlap is Overlap.REFUSE:
        found |= _overlapping(work, rules, person_ids, HOLDS_PLACE)
    day = day_start(shanghai_day(rules.starts_at))
    week = day - timedelta(days=shanghai_day(rules.starts_at).weekday())
    for limit, begin, days, refusal in (
        (rules.daily_limit, day, 1, DailyLimitReached),
        (rules.weekly_limit, week, 7, WeeklyLimitReached),
    ):
        if limit is not None:
            counts = _counts_of_project(work, rules, person_ids, begin, days)
            at_limit = (person_id for person_id, count in counts.items() if count >= limit)
            found = {person_id: refusal(limit=limit) for person_id in at_limit} | found
    return found


def refuse_overlap(work: Work, rules: Rules, person_id: UUID) -> None:
    """Refuse a confirmed place to who has one elsewhere at the same time by now; holds their row. What is offered elsewhere does not count.

    Raises:
        Overlaps: they have.

    """
    lock_people(work, [person_id])
    refusal = _overlapping(work, rules, [person_id], (SignUpState.CONFIRMED,)).get(person_id)
    if refusal is not None:
        raise refusal


def lock_people(work: Work, person_ids: Sequence[UUID]) -> None:
    """Hold the rows of people, in the order of ids, so that nobody gives them a place elsewhere meanwhile; after those of activities, always."""
    work.session.execute(
        select(Person.id).where(Person.id.in_(person_ids)).order_by(Person.id).with_for_update(key_share=True)
    )


def _overlapping(
    work: Work, rules: Rules, person_ids: Sequence[UUID], states: Sequence[SignUpState]
) -> dict[UUID, DomainError]:
    rows = work.session.execute(
        select(SignUp.person_id, func.min(Activity.title))
        .join(Activity, Activity.id == SignUp.activity_id)
        .where(
            SignUp.person_id.in_(person_ids),
            SignUp.state.in_(states),
            SignUp.activity_id != rules.activity_id,
            SignUp.ends_at > rules.starts_at,
            SignUp.starts_at < rules.ends_at,
            Activity.status == "published",
        )
        .group_by(SignUp.person_id)
    )
    return {person_id: Overlaps(title=title) for person_id, title in rows}


def _counts_of_project(
    work: Work, rules: Rules, person_ids: Sequence[UUID], begin: datetime, days: int
) -> dict[UUID, int]:
    rows = work.session.execute(
        select(SignUp.person_id, func.count())
        .join(Activity, Activity.id == SignUp.activity_id)
        .where(
            SignUp.person_id.in_(person_ids),
            SignUp.activity_id != rules.activity_id,
            SignUp.state.not_in((SignUpState.CANCELLED, SignUpState.REFUSED)),
            SignUp.ends_at > begin,
            SignUp.starts_at >= begin,
            SignUp.starts_at < begin + timedelta(days=days),
            Activity.project_id == rules.project_id,
            Activity.status == "published",
        )
        .group_by(SignUp.person_id)
    )
    return {row[0]: row[1] for row in rows}
