"""Sign-ups by staff: adding, cancelling and excusing somebody."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Any
from uuid import UUID

from sqlalchemy import exists, select, update

from engage.activities.access import activity_to_manage
from engage.activities.errors import (
    ActivityOver,
    AlreadyCheckedIn,
    CreditTooLow,
    NoSuchSignUp,
    SignUpClosed,
    SignUpNotConfirmed,
    WrongActivityState,
)
from engage.activities.models import (
    Activity,
    ActivityStatus,
    AdmissionMode,
    CancelCause,
    CheckIn,
    SignUp,
    SignUpState,
)
from engage.activities.queries import sign_ups
from engage.activities.service import admission
from engage.activities.service.review import accept, is_undecided
from engage.activities.service.rules import read_rules_now
from engage.activities.service.sign_up import Profile, joining_of, let_in, no_room, warnings_of
from engage.core import audit
from engage.identity.errors import NoSuchPerson
from engage.identity.models import Person, PersonStatus
from engage.messages import service as messages
from engage.messages.models import MessageKind
from engage.orgs.access import Permission

if TYPE_CHECKING:
    from collections.abc import Mapping
    from datetime import datetime

    from engage.core.db import Work
    from engage.core.errors import DomainError


def add_person(work: Work, activity_id: UUID, person_id: UUID, given: list[dict[str, Any]]) -> dict[str, Any]:
    """Sign somebody else up, as staff, also outside the sign-up window; the same rules decide who may come.

    An application, also one that was refused, is accepted by it; whoever has a place or a turn keeps it.

    Raises:
        NoSuchActivity, NotAllowed: not the caller's to manage.
        NoSuchPerson: no active person has this id.
        WrongActivityState, ActivityOver, SignUpClosed, ActivityFull, PoolFull, QueueClosed: it takes nobody now, or not this person.
        CreditTooLow: they may only queue, and there is no turn left.
        ProfileIncomplete, AgeNotAllowed, CountyNotAllowed, MembersOnly, NoPoolForYou: it does not take this person.
        Overlaps, DailyLimitReached, WeeklyLimitReached: their other sign-ups keep them from it.
        InvalidInput: answers that do not fit.

    """
    activity = activity_to_manage(work, activity_id, Permission.READ_PEOPLE)
    if activity.status is not ActivityStatus.PUBLISHED:
        raise WrongActivityState
    if work.now >= activity.ends_at:
        raise ActivityOver
    person = _active_person(work, person_id)
    found = admission.seen(work.session, activity_id, person_id)
    if found.mine is not None:
        if is_undecided(activity, SignUpState(found.mine.mine_state)):
            accept(work, activity_id, found.mine.mine_id)
        return {**sign_ups.sign_up_for_staff(work, found.mine.mine_id), "warnings": warnings_of(found)}
    if not activity.pools_merged:
        admission.fill(work, activity_id)  # pools that are due are one before the rules are read
    rules = read_rules_now(work, activity_id)
    joining = joining_of(work, rules, person, given, complete=False)
    got = let_in(work, rules, replace(joining, added_by=work.actor.id))
    if got.state is None:
        raise no_room_for_staff(activity, joining, got.facts, work.now)
    tell_added(work, activity, {person_id: got.state})
    return {**sign_ups.sign_up_for_staff(work, got.sign_up_id), "warnings": warnings_of(got)}


def no_room_for_staff(
    activity: Activity, joining: admission.Joining, facts: Any, now: datetime
) -> DomainError:
    """Return why an activity that is on takes nobody more from its staff."""
    if activity.admission_mode is AdmissionMode.LOTTERY and not activity.drawn:
        return SignUpClosed()  # the entries are those that the draw will be checked against
    if joining.held_until:
        return CreditTooLow()
    return no_room(facts, now)


def tell_added(work: Work, activity: Activity, got: Mapping[UUID, SignUpState]) -> None:
    """Tell people that staff signed them up."""
    about: dict[str, Any] = {"activity_id": str(activity.id), "title": activity.title}
    places = [person_id for person_id, state in got.items() if state is SignUpState.CONFIRMED]
    turns = [person_id for person_id, state in got.items() if state is SignUpState.WAITLISTED]
    messages.enqueue_all(work.session, work.now, turns, MessageKind.SIGN_UP_WAITLISTED, **about)
    about["starts_at"] = activity.starts_at.isoformat()
    messages.enqueue_all(work.session, work.now, places, MessageKind.SIGN_UP_CONFIRMED, **about)


def _active_person(work: Work, person_id: UUID) -> Profile:
    row = work.session.execute(
        select(Person.id, Person.name, Person.birth_on, Person.hometown_code, Person.current_code).where(
            Person.id == person_id, Person.status == PersonStatus.ACTIVE
        )
    ).one_or_none()
    if row is None:
        raise NoSuchPerson
    return Profile(*row)


def cancel_for(work: Work, activity_id: UUID, sign_up_id: UUID, reason: str) -> dict[str, Any]:
    """Cancel somebody's sign-up, as staff, with a reason they are told; the next in line is promoted.

    Raises:
        NoSuchActivity, NotAllowed: not the caller's to manage.
        NoSuchSignUp: not a sign-up of this activity.
        AlreadyCheckedIn: the person is there.
        ActivityOver: it is in the figures by now.

    """
    activity = activity_to_manage(work, activity_id, Permission.READ_PEOPLE)
    person_id, state, _ = _of_activity(work, activity_id, sign_up_id)
    if state is not SignUpState.CANCELLED:
        if work.now >= activity.ends_at:
            raise ActivityOver
        admission.end(work, sign_up_id, CancelCause.STAFF, reason)
        audit.changed(work, "sign_up", sign_up_id, before={"state": state}, after={"state": "cancelled"})
        _tell_ended(work, activity, person_id, reason)
    return sign_ups.sign_up_for_staff(work, sign_up_id)


def _tell_ended(work: Work, activity: Activity, person_id: UUID, reason: str) -> None:
    messages.enqueue(
        work.session, work.now, person_id, MessageKind.SIGN_UP_CANCELLED_BY_STAFF,
        activity_id=str(activity.id), title=activity.title, reason=reason,
    )  # fmt: skip


def _of_activity(
    work: Work, activity_id: UUID, sign_up_id: UUID
) -> tuple[UUID, SignUpState, CancelCause | None]:
    row = work.session.execute(
        select(SignUp.person_id, SignUp.state, SignUp.cancel_cause).where(
            SignUp.id == sign_up_id, SignUp.activity_id == activity_id
        )
    ).one_or_none()
    if row is None:
        raise NoSuchSignUp
    return row[0], row[1], row[2]


def _refuse_present(work: Work, sign_up_id: UUID) -> None:
    # The row first: a check-in on its way holds a share of it (check_in.py), so it is either seen here or refused there.
    work.session.execute(select(SignUp.id).where(SignUp.id == sign_up_id).with_for_update())
    if work.session.scalar(select(exists().where(CheckIn.sign_up_id == sign_up_id))):
        raise AlreadyCheckedIn


def excuse(work: Work, activity_id: UUID, sign_up_id: UUID, reason: str) -> dict[str, Any]:
    """Note that a confirmed person has a good reason not to come; before the start the place goes to the next in line.

    Repeating it changes nothing.

    Raises:
        NoSuchActivity, NotAllowed: not the caller's to manage.
        WrongActivityState: drafted, cancelled or summarised.
        NoSuchSignUp: not a live sign-up of this activity.
        SignUpNotConfirmed: it holds no place.
        AlreadyCheckedIn: the person is there.

    """
    activity = activity_to_manage(work, activity_id, Permission.READ_PEOPLE)
    if activity.status is not ActivityStatus.PUBLISHED:
        raise WrongActivityState
    person_id, state, cause = _of_activity(work, activity_id, sign_up_id)
    if cause is CancelCause.EXCUSED:
        return sign_ups.sign_up_for_staff(work, sign_up_id)
    if state is SignUpState.CANCELLED:
        raise NoSuchSignUp
    if state is not SignUpState.CONFIRMED:
        raise SignUpNotConfirmed
    if work.now < activity.starts_at:
        admission.end(work, sign_up_id, CancelCause.EXCUSED, reason)
        _tell_ended(work, activity, person_id, reason)
    else:
        _note_excuse(work, sign_up_id, reason)
    return sign_ups.sign_up_for_staff(work, sign_up_id)


def _note_excuse(work: Work, sign_up_id: UUID, reason: str) -> None:
    _refuse_present(work, sign_up_id)
    work.session.execute(
        update(SignUp)
        .where(SignUp.id == sign_up_id)
        .values(updated_at=work.now, excused_at=work.now, excused_by=work.actor.id, excuse_reason=reason)
        .execution_options(synchronize_session=False)
    )
