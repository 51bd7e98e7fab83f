"""Signing up and leaving: self, by staff, and what staff note about it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any
from uuid import UUID

from sqlalchemy import exists, select, update

from engage.activities.access import PUBLIC, activity_to_manage
from engage.activities.errors import (
    ActivityCancelled,
    ActivityFull,
    ActivityOver,
    ActivityStarted,
    AgeNotAllowed,
    AlreadyCheckedIn,
    CountyNotAllowed,
    MembersOnly,
    NoSuchActivity,
    NoSuchSignUp,
    SignUpClosed,
    SignUpNotConfirmed,
    SignUpNotOpen,
    WrongActivityState,
)
from engage.activities.models import Activity, ActivityStatus, CheckIn, SignUp, SignUpState
from engage.activities.queries import sign_ups
from engage.activities.queries.states import attendance_of
from engage.activities.service import admission
from engage.activities.service.answers import check_answers
from engage.core.clock import age_on, shanghai_day
from engage.identity.errors import NoSuchPerson, ProfileIncomplete
from engage.identity.models import Person, PersonStatus
from engage.messages import service as messages
from engage.messages.models import MessageKind
from engage.regions.models import county_of

if TYPE_CHECKING:
    from datetime import date, datetime

    from engage.core.db import Look, Work


@dataclass(frozen=True, slots=True)
class Profile:
    """What of a person decides whether they may come."""

    id: UUID
    name: str | None
    birth_on: date | None
    hometown_code: str | None
    current_code: str | None


def sign_up(look: Look, activity_id: UUID, given: list[dict[str, Any]] | None) -> dict[str, Any]:
    """Sign the caller up: a place, or a turn in the queue. Repeating it returns the same place.

    Two statements after the caller is known: what the activity asks, and the admission itself, which is its own
    transaction. A repetition with other answers replaces them while sign-up is open.

    Raises:
        NoSuchActivity: not published.
        ActivityCancelled, ActivityOver, SignUpNotOpen, SignUpClosed, ActivityFull: it takes nobody now.
        ProfileIncomplete, AgeNotAllowed, CountyNotAllowed, MembersOnly: it does not take this person.
        InvalidInput: answers that do not fit the questions.

    """
    me = look.actor
    rules = sign_ups.rules_and_mine(look, activity_id, me.id)
    if rules.sign_up_id is not None:
        return _again(look, rules, given)
    _refuse_closed(rules, look.now)
    check_eligible(rules, me)
    if not rules.takes_more:
        raise ActivityFull
    answers = check_answers(rules.questions, given or [])
    with look.atomic():
        try:
            got = admission.admit(look.db, activity_id, me.id, answers, look.now)
        except admission.AlreadyIn:
            got = None
    if got is None:
        # Somebody was faster, perhaps this very person on another connection: read what is true now.
        rules = sign_ups.rules_and_mine(look, activity_id, me.id)
        if rules.sign_up_id is None:
            _refuse_closed(rules, look.now)
            raise ActivityFull
        return _own(rules, look.now)
    return {
        "id": got.sign_up_id,
        "state": got.state,
        "position": got.position,
        "created_at": look.now,
        "checked_in_at": None,
        "attendance": None,
        "answers": sign_ups.listed(answers),
    }


def _again(look: Look, rules: Any, given: list[dict[str, Any]] | None) -> dict[str, Any]:
    if given is None or sign_ups.listed(rules.answers) == given:
        return _own(rules, look.now)
    _refuse_closed(rules, look.now)
    answers = check_answers(rules.questions, given)
    with look.atomic():
        look.db.execute(
            update(SignUp)
            .where(SignUp.id == rules.sign_up_id, SignUp.state != SignUpState.CANCELLED)
            .values(answers=answers)
        )
    return {**_own(rules, look.now), "answers": sign_ups.listed(answers)}


def _own(rules: Any, now: datetime) -> dict[str, Any]:
    return {
        "id": rules.sign_up_id,
        "state": rules.sign_up_state,
        "position": rules.position,
        "created_at": rules.created_at,
        "checked_in_at": rules.checked_in_at,
        "attendance": attendance_of(
            rules.sign_up_state, rules.status, rules.ends_at, rules.checked_in_at, rules.excused_at, now
        ),
        "answers": sign_ups.listed(rules.answers),
    }


def _refuse_closed(rules: Any, now: datetime) -> None:
    if rules.status is ActivityStatus.CANCELLED:
        raise ActivityCancelled
    if rules.status is ActivityStatus.SUMMARISED or now >= rules.ends_at:
        raise ActivityOver
    if now < rules.sign_up_opens_at:
        raise SignUpNotOpen
    if now >= rules.sign_up_closes_at:
        raise SignUpClosed


def check_eligible(rules: Any, person: Any) -> None:
    """Refuse a person whom an activity is not for. The age counts on the Shanghai day of the start.

    Raises:
        ProfileIncomplete: name, birth date or places are not known.
        AgeNotAllowed, CountyNotAllowed, MembersOnly: outside what the activity asks.

    """
    if not (person.name and person.birth_on and person.hometown_code and person.current_code):
        raise ProfileIncomplete
    age = age_on(person.birth_on, shanghai_day(rules.starts_at))
    if (rules.min_age is not None and age < rules.min_age) or (
        rules.max_age is not None and age > rules.max_age
    ):
        raise AgeNotAllowed
    if rules.county_codes and not {county_of(person.hometown_code), county_of(person.current_code)} & set(
        rules.county_codes
    ):
        raise CountyNotAllowed
    if rules.members_only and not rules.is_member:
        raise MembersOnly


def leave(work: Work, activity_id: UUID) -> None:
    """Give up the caller's place or turn; the next in line is promoted. Repeating it changes nothing.

    Raises:
        NoSuchActivity: not published.
        ActivityStarted: too late.
        AlreadyCheckedIn: the caller is there.

    """
    admission.lock(work, activity_id)
    row = work.session.execute(
        select(Activity.starts_at, SignUp.id)
        .outerjoin(
            SignUp,
            (SignUp.activity_id == Activity.id)
            & (SignUp.person_id == work.actor.id)
            & (SignUp.state != SignUpState.CANCELLED),
        )
        .where(Activity.id == activity_id, Activity.status.in_(PUBLIC))
    ).one_or_none()
    if row is None:
        raise NoSuchActivity
    starts_at, sign_up_id = row
    if sign_up_id is None:
        return
    _refuse_present(work, sign_up_id)
    if work.now >= starts_at:
        raise ActivityStarted
    admission.cancel(work, sign_up_id)


def _refuse_present(work: Work, sign_up_id: UUID) -> None:
    # The row first: a check-in on its way holds a share of it (check_in.py), so it is either seen here or refused there.
    work.session.execute(select(SignUp.id).where(SignUp.id == sign_up_id).with_for_update())
    if work.session.scalar(select(exists().where(CheckIn.sign_up_id == sign_up_id))):
        raise AlreadyCheckedIn


def add_person(work: Work, activity_id: UUID, person_id: UUID, given: list[dict[str, Any]]) -> dict[str, Any]:
    """Sign somebody else up, as staff, also outside the sign-up window; the same rules decide who may come.

    Raises:
        NoSuchActivity, NotAllowed: not the caller's to manage.
        NoSuchPerson: no active person has this id.
        WrongActivityState, ActivityOver, ActivityFull: it takes nobody now.
        ProfileIncomplete, AgeNotAllowed, CountyNotAllowed, MembersOnly: it does not take this person.
        InvalidInput: answers that do not fit.

    """
    activity = activity_to_manage(work, activity_id)
    if activity.status is not ActivityStatus.PUBLISHED:
        raise WrongActivityState
    if work.now >= activity.ends_at:
        raise ActivityOver
    person = _active_person(work, person_id)
    rules = sign_ups.rules_and_mine(work, activity_id, person_id)
    if rules.sign_up_id is None:
        check_eligible(rules, person)
        answers = check_answers(rules.questions, given, complete=False)
        got = admission.admit(work.session, activity_id, person_id, answers, work.now, added_by=work.actor.id)
        if got is None:
            raise ActivityFull
        _tell(work, activity, person_id, got.state)
        return sign_ups.sign_up_for_staff(work, got.sign_up_id)
    return sign_ups.sign_up_for_staff(work, rules.sign_up_id)


def _tell(work: Work, activity: Activity, person_id: UUID, state: SignUpState) -> None:
    about = {"activity_id": str(activity.id), "title": activity.title}
    if state is SignUpState.WAITLISTED:
        messages.enqueue(work.session, work.now, person_id, MessageKind.SIGN_UP_WAITLISTED, **about)
    else:
        about["starts_at"] = activity.starts_at.isoformat()
        messages.enqueue(work.session, work.now, person_id, MessageKind.SIGN_UP_CONFIRMED, **about)


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
    activity = activity_to_manage(work, activity_id)
    person_id, state = _of_activity(work, activity_id, sign_up_id)
    if state is not SignUpState.CANCELLED:
        if work.now >= activity.ends_at:
            raise ActivityOver
        _refuse_present(work, sign_up_id)
        admission.cancel(work, sign_up_id, reason)
        messages.enqueue(
            work.session, work.now, person_id, MessageKind.SIGN_UP_CANCELLED_BY_STAFF,
            activity_id=str(activity_id), title=activity.title, reason=reason,
        )  # fmt: skip
    return sign_ups.sign_up_for_staff(work, sign_up_id)


def _of_activity(work: Work, activity_id: UUID, sign_up_id: UUID) -> tuple[UUID, SignUpState]:
    row = work.session.execute(
        select(SignUp.person_id, SignUp.state).where(
            SignUp.id == sign_up_id, SignUp.activity_id == activity_id
        )
    ).one_or_none()
    if row is None:
        raise NoSuchSignUp
    return row[0], row[1]


def excuse(work: Work, activity_id: UUID, sign_up_id: UUID, reason: str) -> dict[str, Any]:
    """Note that a confirmed person had a good reason not to come.

    Raises:
        NoSuchActivity, NotAllowed: not the caller's to manage.
        WrongActivityState: drafted, cancelled or summarised.
        NoSuchSignUp: not a live sign-up of this activity.
        SignUpNotConfirmed: it is in the queue.
        AlreadyCheckedIn: the person is there.

    """
    if activity_to_manage(work, activity_id).status is not ActivityStatus.PUBLISHED:
        raise WrongActivityState
    _, state = _of_activity(work, activity_id, sign_up_id)
    if state is SignUpState.CANCELLED:
        raise NoSuchSignUp
    if state is SignUpState.WAITLISTED:
        raise SignUpNotConfirmed
    _refuse_present(work, sign_up_id)
    work.session.execute(
        update(SignUp)
        .where(SignUp.id == sign_up_id)
        .values(excused_at=work.now, excused_by=work.actor.id, excuse_reason=reason)
        .execution_options(synchronize_session=False)
    )
    return sign_ups.sign_up_for_staff(work, sign_up_id)
