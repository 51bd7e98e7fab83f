"""The mirror of formal membership: which organisation holds whom."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from sqlalchemy import delete, select

from engage.core import audit
from engage.identity.errors import NoSuchPerson
from engage.identity.models import Person, PersonStatus
from engage.orgs.access import Permission, org_to_manage, permitted
from engage.orgs.errors import MemberElsewhere, OrgNotActive
from engage.orgs.models import Membership, Org, OrgStatus

if TYPE_CHECKING:
    from uuid import UUID

    from engage.core.db import Work


def record_membership(work: Work, org_id: UUID, person_id: UUID, body: dict[str, Any]) -> Membership:
    """Record that a node holds a person's formal membership; repeating it changes only when it was recorded.

    Args:
        work: the caller's transaction.
        org_id: the node.
        person_id: whose membership it is.
        body: as ``MembershipIn`` loads it.

    Raises:
        NoSuchOrg: there is no such node.
        NotAllowed: the caller does not manage it.
        OrgNotActive: it is merged or dissolved.
        NoSuchPerson: there is no such person, or the account is closed.
        MemberElsewhere: a node that the caller does not manage holds the membership.

    """
    if org_to_manage(work, org_id).status is not OrgStatus.ACTIVE:
        raise OrgNotActive
    status = work.session.scalar(select(Person.status).where(Person.id == person_id))
    if status is None or status is PersonStatus.CLOSED:
        raise NoSuchPerson
    membership = work.session.get(Membership, person_id, with_for_update=True)
    if membership is None:
        membership = Membership(person_id=person_id)
        work.session.add(membership)
    elif membership.org_id != org_id and not _manages(work, membership.org_id):
        raise MemberElsewhere
    membership.org_id = org_id
    membership.status = body["status"]
    membership.external_ref = body["external_ref"]
    membership.recorded_at = work.now
    work.session.flush()
    return membership


def _manages(work: Work, org_id: UUID) -> bool:
    allowed = select(permitted(work, Permission.MANAGE_ORG, Org.id)).where(Org.id == org_id)
    return bool(work.session.scalar(allowed))


def end_membership(work: Work, org_id: UUID, person_id: UUID) -> None:
    """Forget that a node holds a person's membership; nothing happens if it does not.

    Raises:
        NoSuchOrg: there is no such node.
        NotAllowed: the caller does not manage it.

    """
    org_to_manage(work, org_id)
    gone = work.session.scalar(
        delete(Membership)
        .where(Membership.person_id == person_id, Membership.org_id == org_id)
        .returning(Membership.status)
    )
    if gone is not None:
        audit.changed(work, "membership", person_id, before={"status": gone}, after={"status": None})
