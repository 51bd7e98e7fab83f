"""Reads of service hours: one person's own ledger, and an activity's hours for its staff."""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import TYPE_CHECKING, Any, Final
from uuid import UUID

from sqlalchemy import and_, case, exists, func, or_, select
from sqlalchemy.orm import aliased

from engage.activities.access import require_manageable
from engage.activities.models import (
    Activity,
    ActivityStatus,
    Attendance,
    CancelCause,
    CheckIn,
    HoursEntry,
    HoursKind,
    HoursReason,
    SignUp,
    SignUpState,
)
from engage.activities.queries.entry import FACTS
from engage.activities.queries.states import attendance_of, is_long_enough, time_served
from engage.core.paging import Page, Pager
from engage.identity.models import Person
from engage.orgs.access import Permission

if TYPE_CHECKING:
    from sqlalchemy import ColumnElement, Select

    from engage.core.db import Context

_Back: Final = aliased(HoursEntry)
_Other: Final = aliased(HoursEntry)
_Later: Final = aliased(SignUp)


def is_reversed(entry: Any = HoursEntry) -> ColumnElement[bool]:
    """Return the condition that an entry was taken back."""
    return exists().where(_Back.reverses_id == entry.id)


def is_in_force(entry: Any = HoursEntry) -> ColumnElement[bool]:
    """Return the condition that an entry gives time and was not taken back."""
    return and_(entry.kind != HoursKind.REVERSAL, ~is_reversed(entry))


def minutes_moved() -> ColumnElement[int]:
    """Return the minutes that an entry gives, below nought where it takes some back."""
    return case((HoursEntry.kind == HoursKind.REVERSAL, -HoursEntry.minutes), else_=HoursEntry.minutes)


def overlapping() -> Select[UUID]:
    """Return the select of entries in force, by activity, that touch the time of the one before of the same person.

    In the order in which they begin, entries of which any two touch have two beside each other that do.
    """
    before = func.lag(HoursEntry.until_at).over(
        partition_by=HoursEntry.person_id, order_by=HoursEntry.from_at
    )
    # Said twice, so that a planner does not hash the many that take nothing back.
    taken_back = exists().where(_Back.reverses_id == HoursEntry.id, _Back.reverses_id.is_not(None))
    of_person = (
        select(HoursEntry.activity_id, HoursEntry.from_at, before.label("busy_until"))
        .where(HoursEntry.kind != HoursKind.REVERSAL, ~taken_back)
        .subquery()
    )
    return select(of_person.c.activity_id).where(of_person.c.from_at < of_person.c.busy_until)


def not_mirrored() -> Select[UUID]:
    """Return the select of reversals, by activity, that do not take back exactly what they reverse."""
    same = ("minutes", "activity_id", "person_id", "from_at", "until_at")
    mirrors = and_(
        HoursEntry.id == _Back.reverses_id,
        HoursEntry.kind != HoursKind.REVERSAL,
        HoursEntry.debit_account_id == _Back.credit_account_id,
        HoursEntry.credit_account_id == _Back.debit_account_id,
        *(getattr(HoursEntry, name) == getattr(_Back, name) for name in same),
    )
    return (
        select(_Back.activity_id)
        .outerjoin(HoursEntry, mirrors)
        .where(_Back.kind == HoursKind.REVERSAL, HoursEntry.id.is_(None))
    )


def is_by_staff(entry: Any = HoursEntry) -> ColumnElement[bool]:
    """Return the condition that staff decided about somebody's hours; what follows from presence alone has no author."""
    by_staff: ColumnElement[bool] = entry.created_by.is_not(None)
    return by_staff


def _entries() -> Any:
    return select(
        HoursEntry.id, HoursEntry.kind, HoursEntry.minutes, HoursEntry.reason, HoursEntry.reverses_id, HoursEntry.created_at,
        HoursEntry.person_id, is_reversed().label("reversed"), Activity.id.label("activity_id"), Activity.title,
        Activity.starts_at, Activity.ends_at,
    ).join(Activity, Activity.id == HoursEntry.activity_id)  # fmt: skip


def _entry(row: Any) -> dict[str, Any]:
    return {
        "id": row.id,
        "kind": row.kind,
        "minutes": -row.minutes if row.kind is HoursKind.REVERSAL else row.minutes,
        "reason": row.reason,
        "reverses_id": row.reverses_id,
        "reversed": row.reversed,
        "created_at": row.created_at,
        "person_id": row.person_id,
        "activity": {
            "id": row.activity_id,
            "title": row.title,
            "starts_at": row.starts_at,
            "ends_at": row.ends_at,
        },
    }


def read_entry(look: Context, entry_id: UUID) -> dict[str, Any]:
    """Return an entry of the ledger; the caller has been checked before."""
    return _entry(look.db.execute(_entries().where(HoursEntry.id == entry_id)).one())


def list_my_hours(look: Context, query: dict[str, Any]) -> dict[str, Any]:
    """Return the caller's entries, the latest first, with the sums over all of them."""
    pager = Pager(look.settings, "my-hours", query)
    statement = _entries().where(HoursEntry.person_id == look.actor.id)
    after = pager.after()
    if after:
        statement = statement.where(HoursEntry.id < after[0])
    rows = look.db.execute(statement.order_by(HoursEntry.id.desc()).limit(query["limit"] + 1)).all()
    page = pager.page([_entry(row) for row in rows], lambda item: [item["id"]])
    return {"items": page.items, "next_cursor": page.next_cursor, **_sums(look, look.actor.id)}


def _sums(look: Context, person_id: UUID) -> dict[str, int]:
    rows = look.db.execute(
        select(HoursEntry.kind, func.sum(HoursEntry.minutes))
        .where(HoursEntry.person_id == person_id)
        .group_by(HoursEntry.kind)
    )
    sums = {kind: int(minutes) for kind, minutes in rows}
    awarded, corrected, taken_back = (sums.get(kind, 0) for kind in HoursKind)
    return {
        "total_minutes": awarded + corrected - taken_back,
        "awarded_minutes": awarded,
        "corrected_minutes": corrected,
        "reversed_minutes": taken_back,
    }


def list_activity_hours(look: Context, activity_id: UUID, query: dict[str, Any]) -> Page:
    """Return presence and hours of everybody who has a place, was there or was excused, by arrival of the sign-up, for staff.

    Raises:
        NoSuchActivity: there is none that the caller may see.
        NotAllowed: the caller is not its staff.

    """
    require_manageable(look, activity_id, Permission.READ_PEOPLE)
    pager = Pager(look.settings, f"hours:{activity_id}", query)
    statement = _of_activity().where(SignUp.activity_id == activity_id)
    after = pager.after()
    if after:
        statement = statement.where(SignUp.seq > after[0])
    rows = look.db.execute(statement.order_by(SignUp.seq).limit(query["limit"] + 1)).all()
    page = pager.page(rows, lambda row: [row.seq])
    return Page([_for_staff(row, look.now) for row in page.items], page.next_cursor)


def _of_activity() -> Any:
    of_this = (_Other.activity_id == SignUp.activity_id) & (_Other.person_id == SignUp.person_id)
    elsewhere = (
        (_Other.person_id == SignUp.person_id)
        & (_Other.activity_id != SignUp.activity_id)
        & (_Other.from_at < Activity.ends_at)
        & (_Other.until_at > Activity.starts_at)
    )
    came_back = (
        (_Later.activity_id == SignUp.activity_id)
        & (_Later.person_id == SignUp.person_id)
        & (_Later.seq > SignUp.seq)
        & (
            _Later.state.in_((SignUpState.CONFIRMED, SignUpState.WALK_IN))
            | (_Later.cancel_cause == CancelCause.EXCUSED)
        )
    )
    return (
        select(
            SignUp.seq, SignUp.state, SignUp.excused_at, SignUp.cancel_cause, Person.id, Person.name, CheckIn.arrived_at,
            CheckIn.left_at, *FACTS, Activity.requires_check_out, Activity.presence_percent, Activity.service_minutes,
            HoursEntry.id.label("entry_id"), HoursEntry.kind, HoursEntry.minutes,
            exists().where(of_this, is_by_staff(_Other)).label("decided_by_staff"), exists().where(elsewhere, is_in_force(_Other)).label("overlaps"),
        )
        .join(Activity, Activity.id == SignUp.activity_id)
        .join(Person, Person.id == SignUp.person_id)
        .outerjoin(CheckIn, CheckIn.sign_up_id == SignUp.id)
        .outerjoin(
            HoursEntry,
            (HoursEntry.activity_id == SignUp.activity_id) & (HoursEntry.person_id == SignUp.person_id) & is_in_force(),
        )
        .where(
            or_(
                SignUp.state == SignUpState.CONFIRMED,
                CheckIn.sign_up_id.is_not(None),
                (SignUp.cancel_cause == CancelCause.EXCUSED) & ~exists().where(came_back),
            )
        )
    )  # fmt: skip


def _for_staff(row: Any, now: datetime) -> dict[str, Any]:
    served = _served(row)
    present = served is not None
    became = attendance_of(row.state, row.arrived_at, row.excused_at, now, row, row.cancel_cause)
    return {
        "person": {"id": row.id, "name": row.name},
        "attendance": became,
        "arrived_at": row.arrived_at,
        "left_at": row.left_at,
        "minutes_present": served // timedelta(minutes=1) if present else None,
        "percent_present": served * 100 // (row.ends_at - row.starts_at) if present else None,
        "minutes": row.minutes or 0,
        "kind": row.kind,
        "entry_id": row.entry_id,
        "reason": None if row.entry_id else _why_none(row, served, became, now),
    }


def _served(row: Any) -> Any:
    if row.arrived_at is None:
        return None
    return time_served(
        row.arrived_at, row.left_at, row.starts_at, row.ends_at, requires_check_out=row.requires_check_out
    )


def _why_none(row: Any, served: timedelta | None, became: Attendance | None, now: datetime) -> HoursReason:
    closed = row.status is ActivityStatus.SUMMARISED
    long_enough = served is not None and is_long_enough(
        served, row.starts_at, row.ends_at, row.presence_percent
    )
    reasons = (
        (row.decided_by_staff, HoursReason.REVERSED),
        (row.status is ActivityStatus.CANCELLED, HoursReason.ACTIVITY_CANCELLED),
        (became is Attendance.EXCUSED, HoursReason.EXCUSED),
        (became is Attendance.ABSENT, HoursReason.ABSENT),
        (now < row.ends_at, HoursReason.NOT_CLOSED),
        (served is None, HoursReason.NOT_CHECKED_OUT),
        (not long_enough, HoursReason.TOO_SHORT),
        (not row.service_minutes, HoursReason.NO_SERVICE_TIME),
        (closed and row.overlaps, HoursReason.OVERLAP),
    )
    return next((reason for holds, reason in reasons if holds), HoursReason.NOT_CLOSED)
