"""Showing what a change would mean before it is made: it is made, looked at, and undone."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Any, Final
from uuid import UUID

from sqlalchemy import select

from engage.activities.access import activity_to_manage, manageable
from engage.activities.models import Activity, SignUp
from engage.activities.queries.overlaps import people_in_two_places
from engage.activities.service import consequences, lifecycle
from engage.core.errors import DomainError
from engage.identity.models import Person
from engage.orgs.access import Permission

if TYPE_CHECKING:
    from engage.activities.service.consequences import Consequences
    from engage.core.db import Work

_SHOWN: Final = 100


def preview_change(work: Work, activity_id: UUID, change: dict[str, Any]) -> dict[str, Any]:
    """Return what replacing an activity by a body would mean for people; nothing is changed.

    Raises:
        NoSuchActivity, NoSuchOrg, NotAllowed: not the caller's to manage.
        ActivityNotEditable: over, cancelled or summarised.
        ActivityTimesHeld: not the caller's to move so far, or at all by now.
        QuestionsFrozen, AdmissionFrozen, CapacityBelowPresent, WaitlistBelowWaiting: it could not be made at all.
        InvalidInput: project, hub or counties that cannot be used.

    """
    activity = activity_to_manage(work, activity_id)
    version = activity.version
    clashed = people_in_two_places(work, activity_id)
    try:
        with work.rehearsal():
            found = lifecycle.replace(work, activity, change, may_cut=True)
            overlaps = len(people_in_two_places(work, activity_id) - clashed)
    except DomainError as error:
        error.issues = tuple(replace(issue, pointer=f"/change{issue.pointer}") for issue in error.issues)
        raise
    return _shown(work, found, version, overlaps)


def preview_cancellation(work: Work, activity_id: UUID) -> dict[str, Any]:
    """Return whom calling an activity off would concern; nothing is changed.

    Raises:
        NoSuchActivity, NotAllowed: not the caller's to manage.
        WrongActivityState: summarised, or cancelled already.
        ActivityNotEditable: it is over.

    """
    activity = activity_to_manage(work, activity_id)
    lifecycle.refuse_uncancellable(activity, work.now)
    return _shown(work, consequences.of_cancellation(work, activity), activity.version, 0)


def _shown(work: Work, found: Consequences, version: int, overlaps: int) -> dict[str, Any]:
    # Those to whom most happens come first.
    effects = sorted(
        found.effects, key=lambda effect: (not effect.loses_place, effect.before == effect.after)
    )
    shown = effects[:_SHOWN]
    names = dict(
        work.session.execute(
            select(SignUp.id, Person.name)
            .join(Person, Person.id == SignUp.person_id)
            .join(Activity, Activity.id == SignUp.activity_id)
            .where(
                SignUp.id.in_([effect.sign_up_id for effect in shown]),
                manageable(work, Permission.READ_PEOPLE),
            )
        ).all()
    )
    return {
        "preview": found.tag(version),
        "harmful": found.harmful,
        "moved": [name for name, _ in found.moved],
        "counts": [
            {"before": before, "after": after, "count": count} for before, after, count in found.counts
        ],
        "affected": [
            {
                "sign_up_id": effect.sign_up_id,
                "person_name": names.get(effect.sign_up_id),
                "before": effect.before,
                "after": effect.after,
            }
            for effect in shown
        ],
        "affected_total": len(effects),
        "overlaps_created": overlaps,
    }
