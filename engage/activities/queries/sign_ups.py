"""Reads of sign-ups: one person's own, and an activity's for its staff."""

from __future__ import annotations

from functools import cache
from typing import TYPE_CHECKING, Any, Final
from uuid import UUID

from sqlalchemy import BigInteger, Integer, Select, Uuid, bindparam, case, func, select, true

from engage.activities.access import PUBLIC, require_manageable
from engage.activities.errors import NoSuchActivity, NoSuchSignUp
from engage.activities.models import (
    UNRANKED,
    Activity,
    ActivityStatus,
    CancelCause,
    CheckIn,
    SignUp,
    SignUpState,
)
from engage.activities.queries.activities import CARD, card, cards
from engage.activities.queries.entry import ENTRY, FACTS, MINE, Entry, Facts, entry_with, wire
from engage.activities.queries.estimate import estimate_of
from engage.activities.queries.overlaps import ITS_CLASH, overlap_with
from engage.activities.queries.states import not_over
from engage.core.clock import age_on, shanghai_day
from engage.core.columns import UtcDateTime
from engage.core.paging import Page, Pager, beyond
from engage.core.prepared import Prepared
from engage.identity.models import Person
from engage.orgs.access import LATER, Permission

if TYPE_CHECKING:
    from engage.core.db import Context

_ACTIVITY: Final[Any] = bindparam("activity_id", type_=Uuid())
_ROWS: Final = bindparam("rows", type_=Integer())
_ALL_ROWS: Final = 2**31 - 1
# Where all who wait are among the rows they are numbered at once: to count for each who is ahead takes 20,000 times as long for 20,000.
_TURN_OF_ALL: Final = case(
    (
        SignUp.state == SignUpState.WAITLISTED,
        func.row_number().over(partition_by=SignUp.state, order_by=(SignUp.rank, SignUp.seq)),
    )
)


@cache
def _my_sign_up() -> Prepared[Any]:
    return Prepared(
        select(*ENTRY, *FACTS, SignUp.answers, SignUp.joined_position, ITS_CLASH.c.id, ITS_CLASH.c.title)
        .select_from(Activity)
        .outerjoin(SignUp, MINE)
        .outerjoin(CheckIn, CheckIn.sign_up_id == SignUp.id)
        .outerjoin(ITS_CLASH, true())
        .where(Activity.id == _ACTIVITY, Activity.status.in_(PUBLIC))
    )


def my_sign_up(look: Context, activity_id: UUID) -> dict[str, Any]:
    """Return the caller's live sign-up of an activity. One statement.

    Raises:
        NoSuchActivity: there is none that is published.
        NoSuchSignUp: the caller has no live sign-up.

    """
    me = look.actor.id
    row = _my_sign_up().one_or_none(look.db, {"activity_id": activity_id, "me": me, "person_id": me})
    if row is None:
        raise NoSuchActivity
    if row[0] is None:
        raise NoSuchSignUp
    entry, facts, answers, joined_position, clash_id, clash_title = _parts(row)
    return {
        **wire(entry, facts, look.now),
        "joined_position": joined_position,
        "answers": listed(answers),
        "warnings": [] if clash_id is None else [overlap_with(clash_id, clash_title)],
    }


def _parts(row: Any) -> tuple[Any, ...]:
    """Return a row of the columns of a sign-up, then of its activity, in these two parts, then what follows."""
    facts = len(ENTRY) + len(FACTS)
    return Entry(*row[: len(ENTRY)]), Facts(*row[len(ENTRY) : facts]), *row[facts:]


def my_sign_up_and_chance(look: Context, activity_id: UUID) -> dict[str, Any]:
    """Return the caller's live sign-up of an activity; for who waits with how such queues have moved. Two statements then.

    Raises:
        NoSuchActivity: there is none that is published.
        NoSuchSignUp: the caller has no live sign-up.

    """
    mine = my_sign_up(look, activity_id)
    waits = mine["state"] is SignUpState.WAITLISTED and mine["joined_position"] is not None
    estimate = estimate_of(look, activity_id, mine["joined_position"]) if waits else None
    return {**mine, "estimate": estimate}


@cache
def _to_leave() -> Prepared[Any]:
    return Prepared(
        select(Activity.starts_at, SignUp.id, SignUp.state, CheckIn.sign_up_id.is_not(None))
        .outerjoin(SignUp, MINE)
        .outerjoin(CheckIn, CheckIn.sign_up_id == SignUp.id)
        .where(Activity.id == _ACTIVITY, Activity.status.in_(PUBLIC))
    )


def to_leave(look: Context, activity_id: UUID) -> Any:
    """Return (start, id and state of the caller's live sign-up, whether they checked in); None: no such activity is published."""
    return _to_leave().one_or_none(look.db, {"activity_id": activity_id, "me": look.actor.id})


def listed(answers: dict[str, Any]) -> list[dict[str, Any]]:
    """Return stored answers in their wire form."""
    return [{"question_id": question_id, "value": value} for question_id, value in answers.items()]


@cache
def _my_list(*, past: bool, further: bool) -> Prepared[Any]:
    shown = SignUp.state != SignUpState.CANCELLED
    if past:
        shown |= SignUp.cancel_cause == CancelCause.EXCUSED
    when = SignUp.ends_at <= LATER.now if past else not_over(SignUp.ends_at)
    statement = _my_sign_ups().where(SignUp.person_id == LATER.actor.id, shown, when)
    keys = [SignUp.starts_at, SignUp.id]
    if further:
        seen = [bindparam("after_at", type_=UtcDateTime()), bindparam("after_id", type_=Uuid())]
        statement = statement.where(beyond(keys, seen, descending=past))
    return Prepared(statement.order_by(*(key.desc() if past else key for key in keys)).limit(_ROWS))


def list_my_sign_ups(look: Context, query: dict[str, Any]) -> Page:
    """Return the caller's sign-ups with their activities: upcoming by start, past the latest first.

    Of those that ended only the excused, and among the past: that is what became of them, and no absence.
    """
    pager = Pager(look.settings, "my-sign-ups", query)
    after = pager.after()
    values = {"me": look.actor.id, "now": look.now, "rows": query["limit"] + 1}
    if after:
        values |= {"after_at": after[0], "after_id": after[1]}
    rows = _my_list(past=query["when"] == "past", further=after is not None).all(look.db, values)
    return pager.page(
        [_with_activity(row, look) for row in rows], lambda item: [item["activity"]["starts_at"], item["id"]]
    )


@cache
def _my_next() -> Prepared[Any]:
    ranked = (
        select(
            SignUp.id,
            func.row_number()
            .over(partition_by=SignUp.state, order_by=(SignUp.starts_at, SignUp.id))
            .label("rank"),
        )
        .join(Activity, Activity.id == SignUp.activity_id)
        .where(SignUp.person_id == LATER.actor.id, SignUp.state != SignUpState.CANCELLED)
        .where(Activity.status == ActivityStatus.PUBLISHED, not_over(SignUp.ends_at))
        .subquery()
    )
    return Prepared(
        _my_sign_ups()
        .join(ranked, ranked.c.id == SignUp.id)
        .where(ranked.c.rank <= bindparam("each", type_=Integer()))
        .order_by(SignUp.starts_at, SignUp.id)
    )


def my_next_sign_ups(look: Context, each: int) -> list[dict[str, Any]]:
    """Return the caller's sign-ups of activities ahead or running: the next ``each`` confirmed, and as many waitlisted.

    By start, those of both states mixed; none of an activity that was cancelled. One statement.
    """
    rows = _my_next().all(look.db, {"me": look.actor.id, "now": look.now, "each": each})
    return [_with_activity(row, look) for row in rows]


def _my_sign_ups() -> Any:
    return (
        cards(Activity.late_minutes, SignUp.cancel_cause, *ENTRY)
        .join(SignUp, SignUp.activity_id == Activity.id)
        .outerjoin(CheckIn, CheckIn.sign_up_id == SignUp.id)
    )


def _with_activity(row: Any, look: Context) -> dict[str, Any]:
    size = len(CARD)
    activity = card(row[:size], look.now)
    late_minutes, cause, *entry = row[size:]
    facts = Facts(row[2], activity["starts_at"], activity["ends_at"], late_minutes)
    return {**wire(Entry(*entry), facts, look.now, cause), "activity": activity}


@cache
def _staff_list(*, of_state: bool, whole: bool = False) -> Prepared[Any]:
    after = bindparam("after", type_=BigInteger())
    statement = _for_staff_columns(entry_with(_TURN_OF_ALL) if whole else ENTRY)
    statement = statement.where(SignUp.activity_id == _ACTIVITY, SignUp.seq > after)
    if of_state:
        statement = statement.where(SignUp.state == bindparam("state"))
    return Prepared(statement.order_by(SignUp.seq).limit(_ROWS))


def list_sign_ups(look: Context, activity_id: UUID, query: dict[str, Any]) -> Page:
    """Return an activity's sign-ups with answers, by arrival, for its staff.

    Raises:
        NoSuchActivity: there is none that the caller may see.
        NotAllowed: the caller is not its staff.

    """
    require_manageable(look, activity_id, Permission.READ_PEOPLE)
    pager = Pager(look.settings, f"sign-ups:{activity_id}", query)
    after = pager.after()
    values = {"activity_id": activity_id, "after": after[0] if after else 0, "rows": query["limit"] + 1}
    if query["state"]:
        values["state"] = query["state"]
    rows = _staff_list(of_state=bool(query["state"])).all(look.db, values)
    page = pager.page(rows, lambda row: [row[-1]])
    return Page([_for_staff(row, look) for row in page.items], page.next_cursor)


def every_sign_up(look: Context, activity_id: UUID, state: SignUpState | None) -> list[dict[str, Any]]:
    """Return what ``list_sign_ups`` lists, without pages.

    Raises:
        NoSuchActivity: there is none that the caller may see.
        NotAllowed: the caller is not its staff.

    """
    require_manageable(look, activity_id, Permission.READ_PEOPLE)
    values = {"activity_id": activity_id, "after": 0, "rows": _ALL_ROWS} | ({"state": state} if state else {})
    rows = _staff_list(of_state=state is not None, whole=True).all(look.db, values)
    return [_for_staff(row, look) for row in rows]


def sign_up_for_staff(look: Context, sign_up_id: UUID) -> dict[str, Any]:
    """Return one sign-up as its activity's staff see it; the caller has been checked before."""
    (row,) = _staff_item().all(look.db, {"sign_up_id": sign_up_id})
    return _for_staff(row, look)


@cache
def _staff_item() -> Prepared[Any]:
    return Prepared(_for_staff_columns().where(SignUp.id == bindparam("sign_up_id", type_=Uuid())))


def _for_staff_columns(entry: tuple[Any, ...] = ENTRY) -> Select[Any]:
    return (
        select(
            *entry, *FACTS, SignUp.answers, SignUp.cancelled_at, SignUp.cancel_cause, SignUp.cancel_reason, SignUp.excuse_reason,
            SignUp.rank, CheckIn.method, Person.id, Person.name, Person.gender, Person.birth_on, SignUp.seq,
        )
        .join(Person, Person.id == SignUp.person_id)
        .join(Activity, Activity.id == SignUp.activity_id)
        .outerjoin(CheckIn, CheckIn.sign_up_id == SignUp.id)
    )  # fmt: skip


def _for_staff(row: Any, look: Context) -> dict[str, Any]:
    (
        entry, facts, answers, cancelled_at, cause, cancel_reason, excuse_reason, rank, method, person_id, name, gender, birth_on, _,
    ) = _parts(row)  # fmt: skip
    return {
        **wire(entry, facts, look.now, cause),
        "person": {
            "id": person_id,
            "name": name,
            "gender": gender,
            "age": age_on(birth_on, shanghai_day(facts.starts_at)) if birth_on else None,
        },
        "answers": listed(answers),
        "cancelled_at": cancelled_at,
        "cancel_reason": cancel_reason,
        "excuse_reason": cancel_reason if cause is CancelCause.EXCUSED else excuse_reason,
        "check_in_method": method,
        "rank": None if rank == UNRANKED else rank,
    }
