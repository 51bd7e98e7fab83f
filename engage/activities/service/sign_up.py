"""Signing up and leaving: self, by staff, and what staff note about it."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any, Final
from uuid import UUID

from sqlalchemy import exists, select, update

from engage.activities.access import PUBLIC, activity_to_manage
from engage.activities.errors import (
    ActivityCancelled,
    ActivityFull,
    ActivityOver,
    ActivityStarted,
    AlreadyCheckedIn,
    NoSuchActivity,
    NoSuchSignUp,
    QueueClosed,
    SignUpClosed,
    SignUpNotConfirmed,
    SignUpNotOpen,
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
from engage.activities.queries.credit import held_until
from engage.activities.queries.states import attendance_of
from engage.activities.service import admission
from engage.activities.service.answers import check_answers
from engage.activities.service.credit import note_late_leave
from engage.activities.service.rules import (
    Rules,
    check_eligible,
    forget,
    read_rules_now,
    refuse_conflicts,
    rules_of,
)
from engage.core.db import Work
from engage.core.errors import ConflictingChange, DomainError
from engage.identity.errors import NoSuchPerson
from engage.identity.models import Person, PersonStatus
from engage.messages import service as messages
from engage.messages.models import MessageKind

if TYPE_CHECKING:
    from datetime import date, datetime

    from engage.core.db import Context, Look

_ATTEMPTS: Final = 5  # an activity is not edited more often than that between two statements


@dataclass(frozen=True, slots=True)
class Profile:
    """What of a person decides whether they may come."""

    id: UUID
    name: str | None
    birth_on: date | None
    hometown_code: str | None
    current_code: str | None


def sign_up(look: Look, activity_id: UUID, given: list[dict[str, Any]] | None) -> dict[str, Any]:
    """Sign the caller up: a place, a turn in the queue, or an entry. Repeating it returns the same one.

    One statement after the caller is known, which is its own transaction: it is decided by the rules that were read last, and lets nobody
    in by others than the present ones. One statement too where it is full or closed. More where membership or the person's other sign-ups
    decide, and where the last place or the rules went while the row was waited for. A repetition with other answers replaces them while
    sign-up is open.

    Raises:
        NoSuchActivity: not published.
        ActivityCancelled, ActivityOver, SignUpNotOpen, SignUpClosed, ActivityFull, QueueClosed: it takes nobody now.
        ProfileIncomplete, AgeNotAllowed, CountyNotAllowed, MembersOnly, NoPoolForYou: it does not take this person.
        Overlaps, DailyLimitReached, WeeklyLimitReached: their other sign-ups keep them from it.
        InvalidInput: answers that do not fit the questions.
        ConflictingChange: it was edited again and again meanwhile.

    """
    for _ in range(_ATTEMPTS):
        rules = rules_of(look, activity_id)
        outcome, refusal = _try(look, rules, given)
        if outcome.mine is not None:
            return _again(look, outcome, given)
        if outcome.state is not None:
            return _joined(look, outcome)
        if outcome.facts is None or outcome.facts.status not in PUBLIC:
            forget(activity_id)
            raise NoSuchActivity
        if _are_those_of(rules, outcome.facts):
            _refuse_closed(outcome.facts, look.now)
            raise refusal or _no_room(outcome.facts, look.now)
        forget(activity_id)
    raise ConflictingChange


def _try(
    look: Look, rules: Rules, given: list[dict[str, Any]] | None
) -> tuple[admission.Outcome, DomainError | None]:
    """Return what came of letting the caller in, and what forbids it; a sign-up that they have already is found in any case."""
    refusal: DomainError | None = None
    try:
        joining = _joining(look, rules, look.actor, given or [])
        if rules.needs_lock(look.now):
            outcome = _let_in_locked(look, rules, joining)
        else:
            outcome = admission.admit(look.db, joining, look.now, look.atomic)
        if not outcome.missed:
            return outcome, None
        # Somebody was faster, or the activity is no longer as it was read: what was met is seen anew, to tell which.
    except admission.AlreadyIn:  # by another connection, at the same moment; unless that has ended by now
        refusal = ConflictingChange()
    except DomainError as error:
        refusal = error
    return admission.seen(look.db, rules.activity_id, look.actor.id), refusal


def _are_those_of(rules: Rules, facts: Any) -> bool:
    """Say whether rules are those of the activity as it was met."""
    return bool(facts.version == rules.version and facts.pools_merged == (not rules.pools))


def _joining(
    look: Context, rules: Rules, person: Any, given: list[dict[str, Any]], *, complete: bool = True
) -> admission.Joining:
    return admission.Joining(
        activity_id=rules.activity_id,
        person_id=person.id,
        version=rules.version,
        pools=check_eligible(look, rules, person),
        answers=check_answers(rules.questions, given, complete=complete),
        held_until=held_until(look, person.id, rules.starts_at),
    )


def _let_in_locked(look: Look, rules: Rules, joining: admission.Joining) -> admission.Outcome:
    """Let somebody in where more than the activity's row decides: all that does is locked first.

    Who could not be let in anyway waits for no lock; but where places are divided, that is seen only once pools that are due are one.
    """
    if not rules.pools:
        outcome = admission.seen_by(look.db, joining, look.now)
        if not outcome.missed:
            return outcome
    with look.database.transaction() as session:
        work = Work(session, look.actor, look.now, look.settings)
        admission.lock(work, rules.activity_id)
        return _let_in(work, rules, joining)


def _let_in(work: Work, rules: Rules, joining: admission.Joining) -> admission.Outcome:
    """Let somebody into a locked activity."""
    refuse_conflicts(work, rules, joining.person_id)
    if rules.pools:
        admission.fill(work, rules.activity_id)  # merges pools that are due
        joining = replace(joining, passed_over=admission.unheld_queue(work, rules.activity_id))
    return admission.admit(work.session, joining, work.now)


def _no_room(facts: Any, now: datetime) -> DomainError:
    return QueueClosed() if now >= facts.queue_closes_at else ActivityFull()


def _joined(look: Look, outcome: admission.Outcome) -> dict[str, Any]:
    return {
        **sign_ups.NOTHING_YET,
        "id": outcome.sign_up_id,
        "state": outcome.state,
        "position": outcome.position,
        "held_until": outcome.held_until,
        "created_at": look.now,
        "answers": sign_ups.listed(outcome.answers),
        "warnings": _warnings(outcome),
    }


def _warnings(outcome: admission.Outcome) -> list[dict[str, Any]]:
    if outcome.clash is None:
        return []
    activity_id, title = outcome.clash
    return [{"code": "overlap", "activity": {"id": activity_id, "name": title}}]


def _again(look: Look, outcome: admission.Outcome, given: list[dict[str, Any]] | None) -> dict[str, Any]:
    mine, facts = outcome.mine, outcome.facts
    answers = mine.mine_answers
    if given is not None and sign_ups.listed(answers) != given:
        _refuse_closed(facts, look.now)
        answers = check_answers(read_rules_now(look, facts.id).questions, given)
        with look.atomic():
            look.db.execute(
                update(SignUp)
                .where(SignUp.id == mine.mine_id, SignUp.state != SignUpState.CANCELLED)
                .values(answers=answers)
            )
    state = SignUpState(mine.mine_state)
    return {
        "id": mine.mine_id,
        "state": state,
        "position": mine.mine_position,
        "created_at": mine.mine_created_at,
        "checked_in_at": mine.mine_checked_in_at,
        "attendance": attendance_of(
            state,
            mine.mine_arrived_at,
            mine.mine_excused_at,
            look.now,
            status=ActivityStatus(facts.status),
            starts_at=facts.starts_at,
            ends_at=facts.ends_at,
            late_minutes=facts.late_minutes,
        ),
        "offer_expires_at": mine.mine_offer_expires_at,
        "held_until": mine.mine_held_until,
        "decision_reason": mine.mine_decision_reason,
        "answers": sign_ups.listed(answers),
        "warnings": _warnings(outcome),
    }


def _refuse_closed(facts: Any, now: datetime) -> None:
    if facts.status == ActivityStatus.CANCELLED:
        raise ActivityCancelled
    if facts.status == ActivityStatus.SUMMARISED or now >= facts.ends_at:
        raise ActivityOver
    if now < facts.sign_up_opens_at:
        raise SignUpNotOpen
    if now >= facts.sign_up_closes_at:
        raise SignUpClosed


def leave(work: Work, activity_id: UUID) -> None:
    """Give up the caller's place or turn; the next in line is promoted. Repeating it changes nothing.

    Raises:
        NoSuchActivity: not published.
        ActivityStarted: too late.
        AlreadyCheckedIn: the caller is there.

    """
    admission.lock(work, activity_id)
    row = sign_ups.to_leave(work, activity_id)
    if row is None:
        raise NoSuchActivity
    starts_at, sign_up_id, state, is_there = row
    if sign_up_id is None or state is SignUpState.REFUSED:
        return
    if is_there:
        raise AlreadyCheckedIn
    if work.now >= starts_at:
        raise ActivityStarted
    note_late_leave(work, activity_id, sign_up_id)
    declined = state is SignUpState.OFFERED
    admission.end(work, sign_up_id, CancelCause.DECLINED if declined else CancelCause.LEFT)


def add_person(work: Work, activity_id: UUID, person_id: UUID, given: list[dict[str, Any]]) -> dict[str, Any]:
    """Sign somebody else up, as staff, also outside the sign-up window; the same rules decide who may come.

    Raises:
        NoSuchActivity, NotAllowed: not the caller's to manage.
        NoSuchPerson: no active person has this id.
        WrongActivityState, ActivityOver, SignUpClosed, ActivityFull, QueueClosed: it takes nobody now.
        ProfileIncomplete, AgeNotAllowed, CountyNotAllowed, MembersOnly, NoPoolForYou: it does not take this person.
        Overlaps, DailyLimitReached, WeeklyLimitReached: their other sign-ups keep them from it.
        InvalidInput: answers that do not fit.

    """
    activity = activity_to_manage(work, activity_id)
    if activity.status is not ActivityStatus.PUBLISHED:
        raise WrongActivityState
    if work.now >= activity.ends_at:
        raise ActivityOver
    person = _active_person(work, person_id)
    mine = admission.seen(work.session, activity_id, person_id).mine
    if mine is not None:
        return sign_ups.sign_up_for_staff(work, mine.mine_id)
    if not activity.pools_merged:
        admission.fill(work, activity_id)  # pools that are due are one before the rules are read
    rules = read_rules_now(work, activity_id)
    joining = _joining(work, rules, person, given, complete=False)
    got = _let_in(work, rules, replace(joining, added_by=work.actor.id))
    if got.state is None and activity.admission_mode is AdmissionMode.LOTTERY and not activity.drawn:
        raise SignUpClosed  # the entries are those that the draw will be checked against
    if got.state is None:
        raise _no_room(got.facts, work.now)
    _tell(work, activity, person_id, got.state)
    return sign_ups.sign_up_for_staff(work, got.sign_up_id)


def _tell(work: Work, activity: Activity, person_id: UUID, state: SignUpState) -> None:
    about: dict[str, Any] = {"activity_id": str(activity.id), "title": activity.title}
    if state is SignUpState.CONFIRMED:
        about["starts_at"] = activity.starts_at.isoformat()
        messages.enqueue(work.session, work.now, person_id, MessageKind.SIGN_UP_CONFIRMED, **about)
    elif state is SignUpState.WAITLISTED:
        messages.enqueue(work.session, work.now, person_id, MessageKind.SIGN_UP_WAITLISTED, **about)


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
        admission.end(work, sign_up_id, CancelCause.STAFF, reason)
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


def _refuse_present(work: Work, sign_up_id: UUID) -> None:
    # The row first: a check-in on its way holds a share of it (check_in.py), so it is either seen here or refused there.
    work.session.execute(select(SignUp.id).where(SignUp.id == sign_up_id).with_for_update())
    if work.session.scalar(select(exists().where(CheckIn.sign_up_id == sign_up_id))):
        raise AlreadyCheckedIn


def excuse(work: Work, activity_id: UUID, sign_up_id: UUID, reason: str) -> dict[str, Any]:
    """Note that a confirmed person had a good reason not to come.

    Raises:
        NoSuchActivity, NotAllowed: not the caller's to manage.
        WrongActivityState: drafted, cancelled or summarised.
        NoSuchSignUp: not a live sign-up of this activity.
        SignUpNotConfirmed: it holds no place.
        AlreadyCheckedIn: the person is there.

    """
    if activity_to_manage(work, activity_id).status is not ActivityStatus.PUBLISHED:
        raise WrongActivityState
    _, state = _of_activity(work, activity_id, sign_up_id)
    if state is SignUpState.CANCELLED:
        raise NoSuchSignUp
    if state is not SignUpState.CONFIRMED:
        raise SignUpNotConfirmed
    _refuse_present(work, sign_up_id)
    work.session.execute(
        update(SignUp)
        .where(SignUp.id == sign_up_id)
        .values(updated_at=work.now, excused_at=work.now, excused_by=work.actor.id, excuse_reason=reason)
        .execution_options(synchronize_session=False)
    )
    return sign_ups.sign_up_for_staff(work, sign_up_id)
