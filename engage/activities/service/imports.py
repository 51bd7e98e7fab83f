"""Signing up many people at once, as staff: one by one through the one way in, after the reads of all of them together."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from typing import TYPE_CHECKING, Any
from uuid import UUID

from engage.activities.access import activity_to_manage
from engage.activities.errors import ActivityOver, WrongActivityState
from engage.activities.models import Activity, ActivityStatus, Audience, SignUpState
from engage.activities.queries.credit import end_of_holding, held_people
from engage.activities.queries.imports import active_people, already_in
from engage.activities.service import admission
from engage.activities.service.answers import check_answers
from engage.activities.service.by_staff import no_room_for_staff, tell_added
from engage.activities.service.review import accept, is_undecided
from engage.activities.service.rules import Rules, belongings, check_eligible, conflicts, read_rules_now
from engage.core.errors import DomainError, Language
from engage.identity.errors import NoSuchPerson
from engage.orgs.access import Permission

if TYPE_CHECKING:
    from engage.core.db import Work


@dataclass(frozen=True, slots=True)
class _Known:
    """What was found out about all of them beforehand."""

    people: dict[UUID, Any]
    inside: dict[UUID, tuple[UUID, SignUpState]]
    belong: dict[UUID, set[Audience]]
    conflicts: dict[UUID, DomainError]
    held: set[UUID]
    held_until: datetime | None


def import_people(
    work: Work, activity_id: UUID, items: list[dict[str, Any]], language: Language = Language.ZH
) -> list[dict[str, Any]]:
    """Sign people up in the order given, also outside the sign-up window; return what became of each, a refusal with its sentence.

    The same rules decide as for one of them, and one who is refused keeps nobody else out. An application is accepted by it. Repeating it
    changes nothing: who is in already stays as they are.

    Raises:
        NoSuchActivity, NotAllowed: not the caller's to manage.
        WrongActivityState, ActivityOver: it takes nobody now.

    """
    activity = activity_to_manage(work, activity_id, Permission.READ_PEOPLE)
    if activity.status is not ActivityStatus.PUBLISHED:
        raise WrongActivityState
    if work.now >= activity.ends_at:
        raise ActivityOver
    admission.fill(work, activity_id)  # merges pools that are due, so that the rules are those of now
    rules = read_rules_now(work, activity_id)
    known = _find_out(work, rules, [item["person_id"] for item in items])
    # Who joins the queue now does so where every pool is full or waited for, or is held back, so that this stays true to the end.
    passed_over = admission.unheld_queue(work, activity_id) if rules.pools else 0
    got: dict[UUID, SignUpState] = {}
    results: list[dict[str, Any]] = []
    for item in items:
        person_id = item["person_id"]
        result: str
        code = detail = None
        try:
            mine = known.inside.get(person_id)
            if mine is not None and is_undecided(activity, mine[1]):
                result = _accept(work, activity, mine[0])
                known.inside[person_id] = mine[0], result
            elif mine is not None or person_id in got:
                result = "already"
            else:
                joining = _joining(work, rules, known, item, passed_over)
                result = got[person_id] = _let_in(work, activity, joining)
        except DomainError as refusal:
            result, code = "refused", refusal.code
            detail = _sentences(refusal, language)
        results.append({"person_id": person_id, "result": result, "code": code, "detail": detail})
    tell_added(work, activity, got)
    return results


def _sentences(refusal: DomainError, language: Language) -> str:
    return " ".join([refusal.sentence(language), *(issue.sentence(language) for issue in refusal.issues)])


def _accept(work: Work, activity: Activity, sign_up_id: UUID) -> SignUpState:
    with work.session.begin_nested():  # what is refused leaves nothing behind
        return accept(work, activity.id, sign_up_id)


def _find_out(work: Work, rules: Rules, person_ids: list[UUID]) -> _Known:
    return _Known(
        people=active_people(work, person_ids),
        inside=already_in(work, rules.activity_id, person_ids),
        belong=belongings(work, rules, person_ids),
        conflicts=conflicts(work, rules, person_ids),
        held=held_people(work, person_ids),
        held_until=end_of_holding(work, rules.starts_at),
    )


def _joining(
    work: Work, rules: Rules, known: _Known, item: dict[str, Any], passed_over: int
) -> admission.Joining:
    person = known.people.get(item["person_id"])
    if person is None:
        raise NoSuchPerson
    joining = admission.Joining(
        activity_id=rules.activity_id,
        person_id=person.id,
        version=rules.version,
        pools=check_eligible(work, rules, person, known.belong[person.id]),
        answers=check_answers(rules.questions, item["answers"], complete=False),
        passed_over=passed_over,
        held_until=known.held_until if person.id in known.held else None,
        added_by=work.actor.id,
    )
    if person.id in known.conflicts:
        raise known.conflicts[person.id]
    return joining


def _let_in(work: Work, activity: Activity, joining: admission.Joining) -> SignUpState:
    outcome = admission.admit(work.session, joining, work.now)
    if outcome.state is None:
        raise no_room_for_staff(activity, joining, outcome.facts, work.now)
    return outcome.state
