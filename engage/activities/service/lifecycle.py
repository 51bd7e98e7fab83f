"""An activity's life: written, reviewed, published, changed, cancelled, summarised."""

from __future__ import annotations

from datetime import UTC
from typing import TYPE_CHECKING, Any, Final
from uuid import UUID

from sqlalchemy import exists, select

from engage.activities.access import activity_to_manage, hub_for_activities, manageable
from engage.activities.errors import (
    ActivityNotEditable,
    ActivityNotOver,
    AdmissionFrozen,
    CapacityBelowTaken,
    QuestionsFrozen,
    ReopeningTooLate,
    WaitlistBelowWaiting,
    WrongActivityState,
)
from engage.activities.models import Activity, ActivityStatus, Project, ProjectStatus
from engage.activities.queries.activities import read_activity
from engage.activities.service import admission, consequences, hours, transitions, walk_ins
from engage.activities.service.cuts import take_back
from engage.activities.service.filling import renew_offers
from engage.activities.service.lottery import set_lottery
from engage.activities.service.moves import follow_start, keep_window, let_leave_free
from engage.activities.service.terms import is_used, set_pools, terms_of
from engage.core.errors import InvalidInput, Issue, NotAllowed
from engage.messages import service as messages
from engage.messages.models import MessageKind
from engage.orgs.access import Permission, org_to_manage
from engage.regions.models import DivisionLevel
from engage.regions.queries import current_codes

if TYPE_CHECKING:
    from collections.abc import Iterable
    from datetime import datetime

    from engage.activities.service.consequences import Consequences
    from engage.core.db import Work

_EDITABLE: Final = frozenset(
    {ActivityStatus.DRAFT, ActivityStatus.REVIEW, ActivityStatus.REJECTED, ActivityStatus.PUBLISHED}
)
_PARTS: Final = ("position", "admission", "waitlist", "attendance")  # of a body: no columns of their own
# What people who signed up must be told of.
_MATTERS: Final = ("starts_at", "ends_at", "hub_id", "place_name", "address")  # and the position


def create_activity(work: Work, body: dict[str, Any]) -> dict[str, Any]:
    """Write a draft for an organisation, or for a hub and the organisation behind it.

    Raises:
        NoSuchOrg, NotAllowed: not the caller's organisation.
        InvalidInput: project, hub or counties that cannot be used.

    """
    values = {
        **_checked(work, body),
        "created_by": work.actor.id,
        "created_at": work.now,
        "updated_at": work.now,
    }
    activity = Activity(**values)
    work.session.add(activity)
    work.session.flush()
    set_pools(work, activity, _pools(body), used=False)
    set_lottery(work, activity, body.get("admission"), values)
    work.session.flush()
    return read_activity(work, activity.id)


def _pools(body: dict[str, Any]) -> list[dict[str, Any]]:
    return (body.get("admission") or {}).get("pools") or []


def _checked(work: Work, body: dict[str, Any], before: Activity | None = None) -> dict[str, Any]:
    """Return the columns of a body whose references exist and are the caller's to use.

    What stood there ``before`` may stay: a project archived or a hub closed meanwhile must not stop a correction.
    """
    issues: list[Issue] = []
    values = {name: value for name, value in body.items() if name not in _PARTS} | terms_of(
        work.settings, body
    )
    position = body["position"]
    values["lat"], values["lng"] = (position.lat, position.lng) if position else (None, None)
    values |= _owner(work, body, before, issues)
    active = exists().where(Project.id == body["project_id"], Project.status == ProjectStatus.ACTIVE)
    kept = before is not None and before.project_id == body["project_id"]
    if not kept and not work.session.scalar(select(active)):
        issues.append(Issue("/project_id", "no_such_object"))
    issues += _bad_counties(work, values)
    if issues:
        raise InvalidInput(*issues)
    values["questions"] = _numbered(body["questions"])
    return values


def _owner(work: Work, body: dict[str, Any], before: Activity | None, issues: list[Issue]) -> dict[str, Any]:
    if (
        before is not None
        and before.hub_id
        and (body["hub_id"], body["org_id"] or before.org_id) == (before.hub_id, before.org_id)
    ):
        return {"org_id": before.org_id, "county_code": body["county_code"] or before.county_code}
    hub = hub_for_activities(work, body["hub_id"]) if body["hub_id"] else None
    if body["hub_id"] and hub is None:
        issues.append(Issue("/hub_id", "no_such_object"))
    org_id = body["org_id"] or (hub[0] if hub else None)
    if org_id is None:
        issues.append(Issue("/org_id", "required"))
        return {}
    if not (hub and org_id == hub[0]):
        org_to_manage(work, org_id, Permission.MANAGE_ACTIVITY)
    county = body["county_code"] or (hub[1] if hub else None)
    if county is None:
        issues.append(Issue("/county_code", "required"))
    return {"org_id": org_id, "county_code": county}


def _bad_counties(work: Work, values: dict[str, Any]) -> list[Issue]:
    places = {f"/county_codes/{index}": code for index, code in enumerate(values["county_codes"])}
    if values.get("county_code"):
        places["/county_code"] = values["county_code"]
    known = current_codes(work, set(places.values()))
    issues = []
    for pointer, code in places.items():
        if code not in known:
            issues.append(Issue(pointer, "no_such_division"))
        elif known[code] is None or known[code][0] != code:  # type: ignore[index]
            issues.append(Issue(pointer, "division_retired"))
        elif known[code][1] is not DivisionLevel.COUNTY:  # type: ignore[index]
            issues.append(Issue(pointer, "wrong_division_level", {"levels": "county"}))
    return issues


def _numbered(questions: list[dict[str, Any]]) -> list[dict[str, Any]]:
    return [
        {**question, "id": question["id"] or f"q{number}"} for number, question in enumerate(questions, 1)
    ]


def edit_activity(work: Work, activity_id: UUID, body: dict[str, Any], version: int | None) -> dict[str, Any]:
    """Replace an activity, and tell everybody whom that concerns. More places promote at once.

    A change that takes a place away or moves time or place needs a ``version`` that names its preview.

    Raises:
        NoSuchActivity, NoSuchOrg, NotAllowed: not the caller's to manage.
        VersionConflict: somebody was faster.
        PreviewRequired, PreviewOutdated: what it means for people was not seen, or has changed since.
        ActivityNotEditable: over, cancelled or summarised.
        ActivityTimesHeld: not the caller's to move so far, or at all by now.
        QuestionsFrozen, AdmissionFrozen, CapacityBelowTaken, CapacityBelowPresent, WaitlistBelowWaiting: would take something
            from people who signed up.
        InvalidInput: project, hub or counties that cannot be used.

    """
    activity = activity_to_manage(work, activity_id)
    activity.accept_version(version)
    found = replace(work, activity, body, may_cut=consequences.names_preview(version))
    consequences.accept(found, version)
    consequences.tell(work, activity, found)
    return read_activity(work, activity_id)


def replace(work: Work, activity: Activity, body: dict[str, Any], *, may_cut: bool) -> Consequences:
    """Write a body over a locked activity, give or take back places, and return what that meant for people.

    Where the queue is closed by the new terms, it is closed here and now: turns end, and so does what stood until then.

    Raises:
        ActivityNotEditable: over, cancelled or summarised.
        ActivityTimesHeld: not the caller's to move so far, or at all by now.
        QuestionsFrozen, AdmissionFrozen, CapacityBelowTaken, CapacityBelowPresent, WaitlistBelowWaiting: would take something
            from people who signed up, ``may_cut`` or not.
        InvalidInput: project, hub or counties that cannot be used.

    """
    if activity.status not in _EDITABLE or (
        activity.status is ActivityStatus.PUBLISHED and work.now >= activity.ends_at
    ):
        raise ActivityNotEditable
    values = _checked(work, body, activity)
    keep_window(work, activity, values["org_id"], values["starts_at"], values["ends_at"])
    used = is_used(work, activity.id)
    _refuse_losses(activity, values, used=used, may_cut=may_cut)
    before = consequences.concerned(work, activity.id)
    moved = _moved(activity, values)
    pools = _pools(body)
    cut = take_back(work, activity, values["capacity"], pools) if may_cut else 0
    set_lottery(work, activity, body.get("admission"), values)
    set_pools(work, activity, pools, used=used)
    # A shorter queue is set after the new places have emptied it.
    turns = values.pop("waitlist_capacity")
    later = values["starts_at"] - activity.starts_at
    was_free = work.now < activity.excuse_until_at
    activity.waitlist_capacity = max(turns, activity.waitlist_capacity)
    for name, value in values.items():
        setattr(activity, name, value)
    activity.updated_at = work.now
    if activity.status is ActivityStatus.REJECTED:
        activity.status, activity.status_reason = ActivityStatus.DRAFT, None
    work.session.flush()
    follow_start(work, activity, later)
    if before and (moved or was_free):
        let_leave_free(work, activity)
    if work.now >= activity.queue_closes_at:
        transitions.expire_offers(work, activity.id, tells=False)
        transitions.close_queue(work, activity.id, tells=False)
        transitions.end_undecided(work, activity.id, tells=False)
    admission.fill(work, activity.id)
    walk_ins.mark(work, activity)
    _set_turns(work, activity, turns, cut)
    return consequences.of_edit(before, consequences.concerned(work, activity.id), moved)


def _refuse_losses(activity: Activity, values: dict[str, Any], *, used: bool, may_cut: bool) -> None:
    if used:
        if values["questions"] != activity.questions:
            raise QuestionsFrozen
        if values["admission_mode"] is not activity.admission_mode:
            raise AdmissionFrozen
    if values["capacity"] < activity.taken and not may_cut:
        raise CapacityBelowTaken(
            Issue("/capacity", "too_small", {"min": activity.taken}),
            taken=activity.taken,
            affected=activity.taken - values["capacity"],
        )


def _moved(activity: Activity, values: dict[str, Any]) -> list[tuple[str, Any]]:
    """Return the fields of time and place that change, with what they become."""
    new = {name: values[name] for name in _MATTERS}
    new |= {"starts_at": values["starts_at"].astimezone(UTC), "ends_at": values["ends_at"].astimezone(UTC)}
    moved = [(name, value) for name, value in new.items() if getattr(activity, name) != value]
    point = values["lat"], values["lng"]
    return [*moved, ("position", point)] if point != (activity.lat, activity.lng) else moved


def _set_turns(work: Work, activity: Activity, turns: int, cut: int) -> None:
    """Set the length of the queue; those who lost a place stand in it beside as many as asked for."""
    work.session.refresh(activity)
    if turns < activity.waiting - cut:
        waiting = activity.waiting - cut
        raise WaitlistBelowWaiting(
            Issue("/waitlist_capacity", "too_small", {"min": waiting}),
            waiting=waiting,
            affected=waiting - turns,
        )
    activity.waitlist_capacity = max(turns, activity.waiting)
    work.session.flush()


def _tell(work: Work, activity: Activity, people: Iterable[UUID], kind: MessageKind, **params: Any) -> None:
    messages.enqueue_all(
        work.session, work.now, people, kind, activity_id=str(activity.id), title=activity.title, **params
    )


def publish(work: Work, activity_id: UUID) -> dict[str, Any]:
    """Publish a draft; where review is required, hand it in unless the caller reviews. Repeating changes nothing.

    Raises:
        NoSuchActivity, NotAllowed: not the caller's to manage.
        WrongActivityState: cancelled, summarised or rejected.
        ActivityNotEditable: its end has passed.

    """
    activity = activity_to_manage(work, activity_id)
    reviewer = not work.settings.activity_review or _may_review(work, activity_id)
    target = ActivityStatus.PUBLISHED if reviewer else ActivityStatus.REVIEW
    if activity.status in (ActivityStatus.PUBLISHED, target):
        return read_activity(work, activity_id)
    if activity.status not in (ActivityStatus.DRAFT, ActivityStatus.REVIEW):
        raise WrongActivityState
    if work.now >= activity.ends_at:
        raise ActivityNotEditable
    _move(work, activity, target)
    return read_activity(work, activity_id)


def _may_review(work: Work, activity_id: UUID) -> bool:
    allowed = manageable(work, Permission.REVIEW_ACTIVITY)
    return bool(work.session.scalar(select(allowed).where(Activity.id == activity_id)))


def _move(work: Work, activity: Activity, status: ActivityStatus, reason: str | None = None) -> None:
    activity.status, activity.status_reason = status, reason
    activity.version += 1
    activity.updated_at = work.now
    work.session.flush()


def reject(work: Work, activity_id: UUID, reason: str) -> dict[str, Any]:
    """Send a draft that was handed in back to its writer.

    Raises:
        NoSuchActivity, NotAllowed: not the caller's to review.
        WrongActivityState: it was not handed in.

    """
    activity = activity_to_manage(work, activity_id, Permission.REVIEW_ACTIVITY)
    if activity.status is not ActivityStatus.REVIEW:
        raise WrongActivityState
    _move(work, activity, ActivityStatus.REJECTED, reason)
    return read_activity(work, activity_id)


def cancel_activity(work: Work, activity_id: UUID, reason: str, version: int | None = None) -> dict[str, Any]:
    """Call an activity off and tell everybody who signed up, in the same transaction. Repeating changes nothing.

    Where somebody has signed up, ``version`` names the preview.

    Raises:
        NoSuchActivity, NotAllowed: not the caller's to manage.
        VersionConflict: somebody was faster.
        PreviewRequired, PreviewOutdated: whom it concerns was not seen, or has changed since.
        WrongActivityState: summarised.
        ActivityNotEditable: it is over; what happened stays.

    """
    activity = activity_to_manage(work, activity_id)
    if activity.status is ActivityStatus.CANCELLED:
        return read_activity(work, activity_id)
    refuse_uncancellable(activity, work.now)
    activity.require_version(version)
    found = consequences.of_cancellation(work, activity)
    consequences.accept(found, version)
    _move(work, activity, ActivityStatus.CANCELLED, reason)
    people = [effect.person_id for effect in found.effects]
    _tell(work, activity, people, MessageKind.ACTIVITY_CANCELLED, reason=reason)
    return read_activity(work, activity_id)


def refuse_uncancellable(activity: Activity, now: datetime) -> None:
    """Refuse to call off what is no longer ahead.

    Raises:
        WrongActivityState: summarised, or cancelled already.
        ActivityNotEditable: it is over; what happened stays.

    """
    if activity.status in (ActivityStatus.SUMMARISED, ActivityStatus.CANCELLED):
        raise WrongActivityState
    if activity.status is ActivityStatus.PUBLISHED and now >= activity.ends_at:
        raise ActivityNotEditable


def reopen(work: Work, activity_id: UUID, reason: str) -> dict[str, Any]:
    """Publish a cancelled activity again before its start; everybody has what they had, is told, and free places are given.

    Offers that ended meanwhile are made once more. A draw stays as it was. Where review is required, only who reviews may.

    Raises:
        NoSuchActivity, NotAllowed: not the caller's to manage, or to publish.
        WrongActivityState: not cancelled.
        ReopeningTooLate: it was to have started by now.

    """
    activity = activity_to_manage(work, activity_id)
    if activity.status is not ActivityStatus.CANCELLED:
        raise WrongActivityState
    if work.now >= activity.starts_at:
        raise ReopeningTooLate
    if work.settings.activity_review and not _may_review(work, activity_id):
        raise NotAllowed
    _move(work, activity, ActivityStatus.PUBLISHED)
    let_leave_free(work, activity)
    people = [person_id for person_id, _ in consequences.concerned(work, activity_id).values()]
    starts_at = activity.starts_at.isoformat()
    _tell(work, activity, people, MessageKind.ACTIVITY_REOPENED, starts_at=starts_at, reason=reason)
    renew_offers(work, activity_id)
    admission.fill(work, activity_id)
    return read_activity(work, activity_id)


def summarise(work: Work, activity_id: UUID, summary: str) -> dict[str, Any]:
    """Close an activity that is over, with a summary, and award its hours; from now on only what was seen at the door is still taken in.

    Raises:
        NoSuchActivity, NotAllowed: not the caller's to manage.
        WrongActivityState: never published, or cancelled.
        ActivityNotOver: too early.

    """
    activity = activity_to_manage(work, activity_id)
    if activity.status not in (ActivityStatus.PUBLISHED, ActivityStatus.SUMMARISED):
        raise WrongActivityState
    if work.now < activity.ends_at:
        raise ActivityNotOver
    activity.closing_summary = summary
    _move(work, activity, ActivityStatus.SUMMARISED)
    hours.settle(work, activity)
    return read_activity(work, activity_id)
