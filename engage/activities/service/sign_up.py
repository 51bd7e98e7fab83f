"""Signing up and leaving, and what joining is for whoever else signs people up."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any, Final
from uuid import UUID

from sqlalchemy import update

from engage.activities.access import PUBLIC
from engage.activities.errors import (
    ActivityCancelled,
    ActivityFull,
    ActivityOver,
    ActivityStarted,
    AlreadyCheckedIn,
    CreditTooLow,
    NoSuchActivity,
    PoolFull,
    QueueClosed,
    SignUpClosed,
    SignUpNotOpen,
    TooManyApplications,
)
from engage.activities.models import (
    ActivityStatus,
    CancelCause,
    SignUp,
    SignUpState,
)
from engage.activities.queries import sign_ups
from engage.activities.queries.credit import held_until
from engage.activities.queries.entry import Entry, Facts, wire
from engage.activities.queries.overlaps import overlap_with
from engage.activities.service import admission
from engage.activities.service.answers import check_answers
from engage.activities.service.credit import note_late_leave
from engage.activities.service.rules import (
    Rules,
    check_eligible,
    forget,
    known_rules,
    read_rules_now,
    refuse_conflicts,
    rules_of,
)
from engage.core.db import Work
from engage.core.errors import ConflictingChange, DomainError

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
        ActivityCancelled, ActivityOver, SignUpNotOpen, SignUpClosed, ActivityFull, PoolFull, QueueClosed, TooManyApplications: it takes nobody
            now, or nobody of whom this person is one.
        CreditTooLow: they may only queue, and there is no turn left.
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
            return _joined(look, outcome, outcome.state)
        if outcome.facts is None or outcome.facts.status not in PUBLIC:
            forget(activity_id)
            raise NoSuchActivity
        if _are_those_of(rules, outcome.facts):
            _refuse_closed(outcome.facts, look.now)
            raise refusal or _not_taken(outcome.facts, look.now)
        forget(activity_id)
    raise ConflictingChange


def sign_up_claimed(look: Look, activity_id: UUID, given: list[dict[str, Any]] | None) -> dict[str, Any]:
    """Sign up somebody who has shown a token: see ``sign_up``. One statement more than that only for whom it lets in.

    Who they are and what they would meet is read at once; that answers whoever has signed up already, and whoever comes too early, too late
    or finds no room.

    Raises:
        SessionEnded, AccountSuspended, AccountClosed: they may not call.

    """
    rules = known_rules(activity_id)
    if rules is None or rules.pools or look.settings.credit:
        return sign_up(look.by(look.actor.member(look.db, look.now)), activity_id, given)
    member, outcome = admission.met_beside(look, activity_id, rules.version)
    look = look.by(member)
    if outcome.mine is not None:
        return _again(look, outcome, given)
    facts = outcome.facts
    if facts is not None and facts.status in PUBLIC and _are_those_of(rules, facts) and not outcome.missed:
        _refuse_closed(facts, look.now)
        check_eligible(look, rules, member)
        check_answers(rules.questions, given or [])
        raise _not_taken(facts, look.now)
    return sign_up(look, activity_id, given)


def _try(
    look: Look, rules: Rules, given: list[dict[str, Any]] | None
) -> tuple[admission.Outcome, DomainError | None]:
    """Return what came of letting the caller in, and why not if not; a sign-up that they have already is found in any case."""
    refusal: DomainError | None = None
    try:
        joining = joining_of(look, rules, look.actor, given or [])
        refusal = CreditTooLow() if joining.held_until else None
        if rules.needs_lock(look.now):
            outcome = _let_in_locked(look, rules, joining)
        else:
            outcome = admission.admit(look.db, joining, look.now, look.atomic)
        if not outcome.missed:
            return outcome, refusal
        # Somebody was faster, or the activity is no longer as it was read: what was met is seen anew, to tell which.
    except admission.AlreadyIn:  # by another connection, at the same moment; unless that has ended by now
        refusal = ConflictingChange()
    except DomainError as error:
        refusal = error
    return admission.seen(look.db, rules.activity_id, look.actor.id), refusal


def _are_those_of(rules: Rules, facts: Any) -> bool:
    """Say whether rules are those of the activity as it was met."""
    return bool(facts.version == rules.version and facts.pools_merged == (not rules.pools))


def joining_of(
    look: Context, rules: Rules, person: Any, given: list[dict[str, Any]], *, complete: bool = True
) -> admission.Joining:
    """Return what one person asks to join with, by rules that were read last; see ``check_eligible`` and ``check_answers``."""
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
        return let_in(work, rules, joining)


def let_in(work: Work, rules: Rules, joining: admission.Joining) -> admission.Outcome:
    """Let somebody into a locked activity."""
    refuse_conflicts(work, rules, joining.person_id)
    if rules.pools:
        admission.fill(work, rules.activity_id)  # merges pools that are due
        joining = replace(joining, passed_over=admission.unheld_queue(work, rules.activity_id))
    return admission.admit(work.session, joining, work.now)


def no_room(facts: Any, now: datetime) -> DomainError:
    """Return why an activity that is open has no place and no turn left for somebody."""
    if now >= facts.queue_closes_at:
        return QueueClosed()
    return ActivityFull() if facts.pools_merged else PoolFull()


def _not_taken(facts: Any, now: datetime) -> DomainError:
    """Return why an activity that is open takes nobody more who signs up for themselves."""
    return TooManyApplications() if facts.applications_full else no_room(facts, now)


def _joined(look: Look, outcome: admission.Outcome, state: SignUpState) -> dict[str, Any]:
    entry = Entry(outcome.sign_up_id, state, outcome.position, look.now, outcome.held_until)
    return _wire(look, entry, outcome, outcome.answers)


def _wire(look: Look, entry: Entry, outcome: admission.Outcome, answers: dict[str, Any]) -> dict[str, Any]:
    met = outcome.facts
    facts = Facts(ActivityStatus(met.status), met.starts_at, met.ends_at, met.late_minutes)
    return {
        **wire(entry, facts, look.now),
        "answers": sign_ups.listed(answers),
        "warnings": warnings_of(outcome),
    }


def warnings_of(outcome: admission.Outcome) -> list[dict[str, Any]]:
    """Return what somebody who signs up should know: a place that they have elsewhere at the same time."""
    return [] if outcome.clash is None else [overlap_with(*outcome.clash)]


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
    entry = Entry(
        mine.mine_id, SignUpState(mine.mine_state), mine.mine_position, mine.mine_created_at, mine.mine_held_until,
        mine.mine_excused_at, mine.mine_offer_expires_at, mine.mine_decision_reason, mine.mine_checked_in_at, mine.mine_arrived_at,
    )  # fmt: skip
    return _wire(look, entry, outcome, answers)


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
