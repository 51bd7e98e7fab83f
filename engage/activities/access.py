"""Which activities and projects a caller may see and touch."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any, Final
from uuid import UUID

from sqlalchemy import ColumnElement, and_, exists, or_, select

from engage.activities.errors import NoSuchActivity, NoSuchAppeal, NoSuchProject
from engage.activities.models import (
    Activity,
    ActivityStatus,
    Audience,
    CreditAppeal,
    CreditEntry,
    Project,
    SignUp,
)
from engage.core.errors import NotAllowed
from engage.hubs.models import Hub, HubStatus
from engage.orgs.access import Permission, Place, define_place, not_allowed, permitted
from engage.orgs.models import Membership, MembershipStatus

if TYPE_CHECKING:
    from engage.core.db import Context, Work

# Who belongs to an audience, as a condition on a person's id or a column of ids. Features above add theirs with ``define_audience``.
AUDIENCES: Final[dict[Audience, Callable[[Any], ColumnElement[bool]]]] = {
    Audience.MEMBERS: lambda person_id: exists().where(
        Membership.person_id == person_id, Membership.status == MembershipStatus.MEMBER
    )
}


def define_audience(audience: Audience, condition: Callable[[Any], ColumnElement[bool]]) -> None:
    """Say who belongs to an audience that this feature does not know itself."""
    AUDIENCES[audience] = condition


PUBLIC: Final = (ActivityStatus.PUBLISHED, ActivityStatus.CANCELLED, ActivityStatus.SUMMARISED)


def is_public() -> ColumnElement[bool]:
    """Return the condition that everybody may see an activity."""
    return Activity.status.in_(PUBLIC)


def manageable(look: Context, permission: Permission = Permission.MANAGE_ACTIVITY) -> ColumnElement[bool]:
    """Return the condition that the caller works on an activity as staff of its org or hub.

    Whatever shows a person to staff, or lets them act for one, asks for ``READ_PEOPLE``.
    """
    return PLACE.allows(look, permission)


def visible_activities(look: Context) -> ColumnElement[bool]:
    """Return the condition that the caller may see an activity: public, or their own as staff."""
    return or_(is_public(), manageable(look))


PLACE: Final = Place(
    Activity.id,
    Activity.org_id,
    (
        Permission.MANAGE_ACTIVITY,
        Permission.READ_PEOPLE,
        Permission.REVIEW_ACTIVITY,
        Permission.DECIDE_APPEAL,
        Permission.READ_FIGURES,
        Permission.READ_EVIDENCE,
        Permission.WRITE_FINDING,
    ),
    hub_id=Activity.hub_id,
    period=(Activity.starts_at, Activity.ends_at),
    visible=visible_activities,
)
define_place("activity", PLACE)
define_place("project", Place(Project.id, Project.org_id, (Permission.MANAGE_ORG,)))


def activity_to_manage(
    work: Work, activity_id: UUID, permission: Permission = Permission.MANAGE_ACTIVITY
) -> Activity:
    """Load an activity that the caller has a permission on, and hold its row until the transaction ends.

    Raises:
        NoSuchActivity: there is none that the caller may see.
        NotAllowed: the caller sees it but has no such role on its org or hub.

    """
    row = work.session.execute(
        select(Activity, manageable(work, permission))
        .where(Activity.id == activity_id, visible_activities(work))
        .with_for_update(of=Activity, key_share=True)
        .execution_options(populate_existing=True)
    ).one_or_none()
    if row is None:
        raise NoSuchActivity
    activity, allowed = row
    if not allowed:
        raise NotAllowed
    return activity


def how_people_are_read(work: Work, activity_id: UUID) -> tuple[bool, bool]:
    """Return whether the caller may choose when people are seen, and whether they see them now.

    Whoever sees them at any time may, by the tree; and all may while nobody has signed up.
    """
    nobody = ~exists().where(SignUp.activity_id == Activity.id)
    row = work.session.execute(
        select(
            or_(permitted(work, Permission.READ_PEOPLE, Activity.org_id), nobody),
            manageable(work, Permission.READ_PEOPLE),
        ).where(Activity.id == activity_id)
    ).one()
    return bool(row[0]), bool(row[1])


def require_manageable(
    look: Context, activity_id: UUID, permission: Permission = Permission.MANAGE_ACTIVITY
) -> None:
    """Refuse a reader who is not staff of an activity.

    Raises:
        NoSuchActivity: there is none that the caller may see.
        NotAllowed: the caller sees it but has no role on its org or hub.

    """
    row = look.db.execute(
        select(manageable(look, permission)).where(Activity.id == activity_id, visible_activities(look))
    ).one_or_none()
    if row is None:
        raise NoSuchActivity
    if not row[0]:  # also NULL: no hub, asked by somebody who has one
        raise not_allowed(look, permission)


def hub_for_activities(work: Work, hub_id: UUID) -> tuple[UUID, str] | None:
    """Return (org id, county code) of an active hub that the caller may hold activities at, or None."""
    row = work.session.execute(
        select(Hub.org_id, Hub.county_code).where(
            Hub.id == hub_id,
            Hub.status == HubStatus.ACTIVE,
            permitted(work, Permission.MANAGE_ACTIVITY, Hub.org_id, Hub.id),
        )
    ).one_or_none()
    return (row[0], row[1]) if row else None


def project_to_manage(work: Work, project_id: UUID) -> Project:
    """Load a project that the caller may edit.

    Raises:
        NoSuchProject: there is none.
        NotAllowed: the caller is no officer of its org or above.

    """
    row = work.session.execute(
        select(Project, permitted(work, Permission.MANAGE_ORG, Project.org_id)).where(
            Project.id == project_id
        )
    ).one_or_none()
    if row is None:
        raise NoSuchProject
    project, allowed = row
    if not allowed:
        raise NotAllowed
    return project


def decidable(look: Context) -> ColumnElement[bool]:
    """Return the condition that the caller decides on appeals against an entry of an activity.

    An officer of a node above the one that holds the activity; of that node itself where nothing is above it. Nobody
    decides about themselves.
    """
    return and_(manageable(look, Permission.DECIDE_APPEAL), CreditEntry.person_id != look.actor.id)


def appeal_to_decide(work: Work, appeal_id: UUID) -> CreditAppeal:
    """Load an appeal that is the caller's to decide, and hold its row until the transaction ends.

    Raises:
        NoSuchAppeal: there is none, or it is about an activity that is none of the caller's business.
        NotAllowed: it is about their own activity, or their own points; the level above decides.

    """
    row = work.session.execute(
        select(CreditAppeal, decidable(work))
        .join(CreditEntry, CreditEntry.id == CreditAppeal.entry_id)
        .join(Activity, Activity.id == CreditEntry.activity_id)
        .where(
            CreditAppeal.id == appeal_id,
            or_(
                decidable(work),
                manageable(work, Permission.READ_PEOPLE),
                CreditEntry.person_id == work.actor.id,
            ),
        )
        .with_for_update(of=CreditAppeal)
        .execution_options(populate_existing=True)
    ).one_or_none()
    if row is None:
        raise NoSuchAppeal
    appeal, allowed = row
    if not allowed:
        raise NotAllowed
    return appeal
