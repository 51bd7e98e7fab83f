"""Writes to the ledger of service hours: what presence comes to once the activity is closed, make-up hours, reversals."""

from __future__ import annotations

from datetime import timedelta
from typing import TYPE_CHECKING, Any, Final
from uuid import UUID

from sqlalchemy import insert, select

from engage.activities.access import activity_to_manage, manageable
from engage.activities.errors import (
    HoursAlreadyGiven,
    HoursNotReversible,
    HoursOverlap,
    NoSuchHoursEntry,
    NoSuchSignUp,
    SignUpNotConfirmed,
    WrongActivityState,
)
from engage.activities.models import (
    Activity,
    ActivityStatus,
    CheckIn,
    HoursAccount,
    HoursEntry,
    HoursKind,
    SignUp,
    SignUpState,
)
from engage.activities.queries.hours import is_by_staff, is_in_force, read_entry
from engage.activities.queries.states import is_long_enough, time_served
from engage.core import ids
from engage.core.db import upserting
from engage.core.errors import InvalidInput, Issue
from engage.messages import service as messages
from engage.messages.models import MessageKind
from engage.orgs.access import Permission

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from sqlalchemy import ColumnElement

    from engage.core.db import Work

_MINUTE: Final = timedelta(minutes=1)
_NO_OTHER: Final = {"reverses_id": None, "reason": None, "created_by": None}
# On the ledger for good, so in both languages at once.
_NOT_LONG_ENOUGH: Final = "后来收到的签到签退记录显示在场时间未达到要求 · Check-ins and check-outs received later show too short a presence"


def settle(work: Work, activity: Activity) -> None:
    """Give the hours of a closed activity to everybody who was there for its share of the time, and take back what no longer follows.

    What is in force is then the same in whatever order reports from the door and the closure came. Who has hours at the same time already
    gets none, and what staff decided about somebody, by a reversal or make-up hours, stays. Repeating it changes nothing. As many statements
    for a thousand people as for one; the caller holds the activity's row.
    """
    if not activity.service_minutes:
        return
    due = _long_enough(work, activity)
    people = due.union(_awarded(work, activity))
    if not people:
        return
    accounts = _accounts(work, activity.id, sorted(people))
    given, taken_back = _missing_and_wrong(work, activity, due, people)
    entries = [
        _entry(work, activity, accounts, person_id, HoursKind.AWARD, activity.service_minutes)
        for person_id in given
    ]
    entries += [_mirror(work, award, _NOT_LONG_ENOUGH, by=None) for award in taken_back]
    if entries:
        work.session.execute(insert(HoursEntry), entries)
    for kind, told in (
        (MessageKind.HOURS_AWARDED, given),
        (MessageKind.HOURS_WITHDRAWN, [award.person_id for award in taken_back]),
    ):
        messages.enqueue_all(
            work.session, work.now, told, kind, activity_id=str(activity.id), title=activity.title,
            minutes=str(activity.service_minutes),
        )  # fmt: skip


def _long_enough(work: Work, activity: Activity) -> set[UUID]:
    rows = work.session.execute(
        select(CheckIn.person_id, CheckIn.arrived_at, CheckIn.left_at).where(
            CheckIn.activity_id == activity.id
        )
    )
    starts_at, ends_at = activity.starts_at, activity.ends_at
    found = set()
    for person_id, arrived_at, left_at in rows:
        served = time_served(
            arrived_at, left_at, starts_at, ends_at, requires_check_out=activity.requires_check_out
        )
        if served is not None and is_long_enough(served, starts_at, ends_at, activity.presence_percent):
            found.add(person_id)
    return found


def _awarded(work: Work, activity: Activity) -> Iterable[UUID]:
    return work.session.scalars(
        select(HoursEntry.person_id).where(
            HoursEntry.activity_id == activity.id, HoursEntry.kind == HoursKind.AWARD, is_in_force()
        )
    )


def _missing_and_wrong(
    work: Work, activity: Activity, due: set[UUID], people: set[UUID]
) -> tuple[list[UUID], list[HoursEntry]]:
    """Return who is to be given hours, in order, and the awards that are to be taken back."""
    of_this = HoursEntry.activity_id == activity.id
    rows = work.session.execute(
        select(HoursEntry, is_in_force(), of_this & is_by_staff())
        .where(*_at_the_same_time(activity, people), is_in_force() | of_this)
        .order_by(HoursEntry.id)
    ).all()
    decided = {entry.person_id for entry, _, by_staff in rows if by_staff}
    taken = {entry.person_id for entry, in_force, _ in rows if in_force}
    wrong = [
        entry
        for entry, in_force, _ in rows
        if in_force and entry.activity_id == activity.id and entry.person_id not in due | decided
    ]
    return sorted(due - decided - taken), wrong


def _accounts(work: Work, activity_id: UUID, people: Iterable[UUID]) -> dict[UUID, UUID]:
    """Open the accounts that are missing; return them by owner, those of people held until the transaction ends.

    In one order always, so that two closures with the same people wait for and do not block each other.
    """
    owners = [{"activity_id": activity_id, "person_id": None}]
    owners += [{"activity_id": None, "person_id": person_id} for person_id in people]
    work.session.execute(
        upserting(work.session, HoursAccount).on_conflict_do_nothing(),
        [{"id": ids.new_id(), **owner} for owner in owners],
    )
    of_people = hold_accounts(work, people)
    of_activity = select(HoursAccount.id).where(HoursAccount.activity_id == activity_id)
    return {activity_id: work.session.scalars(of_activity).one(), **of_people}


def hold_accounts(work: Work, people: Iterable[UUID]) -> dict[UUID, UUID]:
    """Hold the accounts of people until the transaction ends, so that nothing about their time changes meanwhile."""
    rows = work.session.execute(
        select(HoursAccount.person_id, HoursAccount.id)
        .where(HoursAccount.person_id.in_(list(people)))
        .order_by(HoursAccount.person_id)
        .with_for_update(key_share=True)
    )
    return {person_id: account_id for person_id, account_id in rows if person_id}


def _at_the_same_time(activity: Activity, people: Iterable[UUID]) -> tuple[ColumnElement[bool], ...]:
    return (
        HoursEntry.person_id.in_(list(people)),
        HoursEntry.from_at < activity.ends_at,
        HoursEntry.until_at > activity.starts_at,
    )


def _entry(
    work: Work,
    activity: Activity,
    accounts: Mapping[UUID, UUID],
    person_id: UUID,
    kind: HoursKind,
    minutes: int,
) -> dict[str, Any]:
    return {
        "id": ids.new_id(),
        "debit_account_id": accounts[activity.id],
        "credit_account_id": accounts[person_id],
        "minutes": minutes,
        "kind": kind,
        "activity_id": activity.id,
        "person_id": person_id,
        "from_at": activity.starts_at,
        "until_at": activity.ends_at,
        "created_at": work.now,
        **_NO_OTHER,
    }


def make_up(work: Work, activity_id: UUID, person_id: UUID, minutes: int, reason: str) -> dict[str, Any]:
    """Give somebody who had a place hours of a closed activity that no check-in shows, with a reason.

    Raises:
        NoSuchActivity, NotAllowed: not the caller's to manage.
        WrongActivityState: not closed yet; until then attendance itself can be set right.
        InvalidInput: more than the activity lasts, and more than it gives.
        NoSuchSignUp, SignUpNotConfirmed: the person had no place.
        HoursAlreadyGiven: they have hours of this activity.
        HoursOverlap: they have hours of another one at the same time.

    """
    activity = activity_to_manage(work, activity_id, Permission.READ_PEOPLE)
    if activity.status is not ActivityStatus.SUMMARISED:
        raise WrongActivityState
    most = max(activity.service_minutes, (activity.ends_at - activity.starts_at) // _MINUTE)
    if minutes > most:
        raise InvalidInput(Issue("/minutes", "too_large", {"max": most}))
    _require_place(work, activity_id, person_id)
    accounts = _accounts(work, activity_id, [person_id])
    same_time = _at_the_same_time(activity, [person_id])
    clash = work.session.scalar(select(HoursEntry.activity_id).where(*same_time, is_in_force()))
    if clash is not None:
        raise HoursAlreadyGiven if clash == activity_id else HoursOverlap
    entry = _entry(work, activity, accounts, person_id, HoursKind.CORRECTION, minutes)
    work.session.execute(insert(HoursEntry).values({**entry, "reason": reason, "created_by": work.actor.id}))
    _tell(work, person_id, MessageKind.HOURS_MADE_UP, activity, minutes, reason)
    return read_entry(work, entry["id"])


def _require_place(work: Work, activity_id: UUID, person_id: UUID) -> None:
    state = work.session.scalar(
        select(SignUp.state).where(
            SignUp.activity_id == activity_id,
            SignUp.person_id == person_id,
            SignUp.state != SignUpState.CANCELLED,
        )
    )
    if state is None:
        raise NoSuchSignUp
    if state not in (SignUpState.CONFIRMED, SignUpState.WALK_IN):
        raise SignUpNotConfirmed


def _tell(
    work: Work, person_id: UUID, kind: MessageKind, activity: Activity, minutes: int, reason: str
) -> None:
    messages.enqueue(
        work.session, work.now, person_id, kind, activity_id=str(activity.id), title=activity.title,
        minutes=str(minutes), reason=reason,
    )  # fmt: skip


def reverse(work: Work, entry_id: UUID, reason: str) -> dict[str, Any]:
    """Take an award or make-up hours back, with a reason. Repeating it returns the reversal that is there.

    Raises:
        NoSuchHoursEntry: there is none on an activity that the caller manages.
        HoursNotReversible: it is itself a reversal.

    """
    row = work.session.execute(
        select(HoursEntry, Activity)
        .join(Activity, Activity.id == HoursEntry.activity_id)
        .where(HoursEntry.id == entry_id, manageable(work, Permission.READ_PEOPLE))
    ).one_or_none()
    if row is None:
        raise NoSuchHoursEntry
    entry, activity = row
    if entry.kind is HoursKind.REVERSAL:
        raise HoursNotReversible
    hold_accounts(work, [entry.person_id])
    earlier = work.session.scalar(select(HoursEntry.id).where(HoursEntry.reverses_id == entry_id))
    if earlier is not None:
        return read_entry(work, earlier)
    reversal = HoursEntry(**_mirror(work, entry, reason, by=work.actor.id))
    work.session.add(reversal)
    work.session.flush()
    _tell(work, entry.person_id, MessageKind.HOURS_REVERSED, activity, entry.minutes, reason)
    return read_entry(work, reversal.id)


def _mirror(work: Work, entry: HoursEntry, reason: str, by: UUID | None) -> dict[str, Any]:
    return {
        "id": ids.new_id(),
        "debit_account_id": entry.credit_account_id,
        "credit_account_id": entry.debit_account_id,
        "minutes": entry.minutes,
        "kind": HoursKind.REVERSAL,
        "activity_id": entry.activity_id,
        "person_id": entry.person_id,
        "from_at": entry.from_at,
        "until_at": entry.until_at,
        "reverses_id": entry.id,
        "reason": reason,
        "created_by": by,
        "created_at": work.now,
    }
