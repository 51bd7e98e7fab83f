"""Writes to the ledger of service hours: awards at the closure, make-up hours, reversals."""

from __future__ import annotations

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
from engage.activities.queries.hours import is_in_force, read_entry
from engage.activities.queries.states import is_long_enough, time_served
from engage.core import ids
from engage.core.db import upserting
from engage.messages import service as messages
from engage.messages.models import MessageKind
from engage.orgs.access import Permission

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from engage.core.db import Work

_NO_OTHER: Final = {"reverses_id": None, "reason": None, "created_by": None}


def award(work: Work, activity: Activity) -> None:
    """Give the hours of a closed activity to everybody who was there for its share of the time.

    Who has hours at the same time already gets none, and neither does whose award was reversed: staff see both in the
    list of hours. Repeating it gives only what is missing. As many statements for a thousand people as for one; the
    caller holds the activity's row.
    """
    people = _long_enough(work, activity) if activity.service_minutes else []
    if not people:
        return
    accounts = _accounts(work, activity.id, people)
    free = set(people) - _without_claim(work, activity, people)
    entries = [
        _entry(work, activity, accounts, person_id, HoursKind.AWARD, activity.service_minutes)
        for person_id in people
        if person_id in free
    ]
    if entries:
        work.session.execute(insert(HoursEntry), entries)
    messages.enqueue_all(
        work.session, work.now, sorted(free), MessageKind.HOURS_AWARDED, activity_id=str(activity.id),
        title=activity.title, minutes=str(activity.service_minutes),
    )  # fmt: skip


def _long_enough(work: Work, activity: Activity) -> list[UUID]:
    rows = work.session.execute(
        select(CheckIn.person_id, CheckIn.arrived_at, CheckIn.left_at)
        .where(CheckIn.activity_id == activity.id)
        .order_by(CheckIn.person_id)
    )
    starts_at, ends_at = activity.starts_at, activity.ends_at
    found = []
    for person_id, arrived_at, left_at in rows:
        served = time_served(
            arrived_at, left_at, starts_at, ends_at, requires_check_out=activity.requires_check_out
        )
        if served is not None and is_long_enough(served, starts_at, ends_at, activity.presence_percent):
            found.append(person_id)
    return found


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


def _at_the_same_time(activity: Activity, people: Iterable[UUID]) -> Any:
    return select(HoursEntry.person_id, HoursEntry.activity_id).where(
        HoursEntry.person_id.in_(list(people)),
        HoursEntry.from_at < activity.ends_at,
        HoursEntry.until_at > activity.starts_at,
    )


def _without_claim(work: Work, activity: Activity, people: Iterable[UUID]) -> set[UUID]:
    """Return whose time is taken by an entry in force, and who had hours of this very activity."""
    rows = work.session.execute(
        _at_the_same_time(activity, people).where(is_in_force() | (HoursEntry.activity_id == activity.id))
    )
    return {person_id for person_id, _ in rows}


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
        NoSuchSignUp, SignUpNotConfirmed: the person had no place.
        HoursAlreadyGiven: they have hours of this activity.
        HoursOverlap: they have hours of another one at the same time.

    """
    activity = activity_to_manage(work, activity_id, Permission.READ_PEOPLE)
    if activity.status is not ActivityStatus.SUMMARISED:
        raise WrongActivityState
    _require_place(work, activity_id, person_id)
    accounts = _accounts(work, activity_id, [person_id])
    clash = work.session.execute(_at_the_same_time(activity, [person_id]).where(is_in_force())).first()
    if clash is not None:
        raise HoursAlreadyGiven if clash.activity_id == activity_id else HoursOverlap
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
    reversal = HoursEntry(
        debit_account_id=entry.credit_account_id,
        credit_account_id=entry.debit_account_id,
        minutes=entry.minutes,
        kind=HoursKind.REVERSAL,
        activity_id=entry.activity_id,
        person_id=entry.person_id,
        from_at=entry.from_at,
        until_at=entry.until_at,
        reverses_id=entry_id,
        reason=reason,
        created_by=work.actor.id,
        created_at=work.now,
    )
    work.session.add(reversal)
    work.session.flush()
    _tell(work, entry.person_id, MessageKind.HOURS_REVERSED, activity, entry.minutes, reason)
    return read_entry(work, reversal.id)
