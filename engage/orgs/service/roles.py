"""Granting roles."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from sqlalchemy import exists, select

from engage.core.errors import InvalidInput, Issue
from engage.identity.access import refuse_inactive
from engage.identity.errors import NoSuchPerson
from engage.identity.models import Person
from engage.orgs.access import live_grant
from engage.orgs.errors import (
    GrantEndsEarly,
    NoSuchGrantPlace,
    OrgNotActive,
    RoleAlreadyHeld,
    RoleNotHere,
)
from engage.orgs.models import Org, OrgStatus, Role, RoleGrant
from engage.orgs.queries import hub_table

if TYPE_CHECKING:
    from datetime import datetime
    from uuid import UUID

    from sqlalchemy.orm import Session

_MAX_REASON_CHARS: Final = 200


def grant_role(
    session: Session,
    now: datetime,
    person_id: UUID,
    role: Role,
    *,
    reason: str,
    org_id: UUID | None = None,
    hub_id: UUID | None = None,
    ends_at: datetime | None = None,
    granted_by: UUID | None = None,
) -> RoleGrant:
    """Give a person a role from now on, on one organisation and all below it or on one hub.

    Whether ``granted_by`` may give it is for the caller to have checked; None means the command line.

    Raises:
        RoleNotHere: a hub manager's role without a hub, another role without an organisation, or both.
        InvalidInput: the reason is empty or too long.
        GrantEndsEarly: it would end before it begins.
        NoSuchPerson: there is no such person.
        AccountSuspended: the account may not be used.
        AccountClosed: the account is closed.
        NoSuchGrantPlace: there is no such organisation or hub.
        OrgNotActive: the organisation is merged or dissolved.
        RoleAlreadyHeld: the person holds this role here already.

    """
    _check_terms(now, role, reason=reason, org_id=org_id, hub_id=hub_id, ends_at=ends_at)
    _check_person(session, person_id)
    _check_place(session, org_id, hub_id)
    held = select(RoleGrant).where(
        live_grant(person_id, now),
        RoleGrant.role == role,
        RoleGrant.org_id == org_id if org_id else RoleGrant.hub_id == hub_id,
    )
    if session.scalar(select(exists(held))):
        raise RoleAlreadyHeld
    grant = RoleGrant(
        person_id=person_id,
        role=role,
        org_id=org_id,
        hub_id=hub_id,
        starts_at=now,
        ends_at=ends_at,
        granted_by=granted_by,
        reason=reason,
        created_at=now,
    )
    session.add(grant)
    session.flush()
    return grant


def _check_terms(
    now: datetime,
    role: Role,
    *,
    reason: str,
    org_id: UUID | None,
    hub_id: UUID | None,
    ends_at: datetime | None,
) -> None:
    is_for_hub = role is Role.HUB_MANAGER
    if (hub_id is not None) != is_for_hub or (org_id is not None) == is_for_hub:
        raise RoleNotHere
    if not reason.strip():
        raise InvalidInput(Issue("/reason", "required"))
    if len(reason) > _MAX_REASON_CHARS:
        raise InvalidInput(Issue("/reason", "too_long", {"max": _MAX_REASON_CHARS}))
    if ends_at is not None and ends_at <= now:
        raise GrantEndsEarly


def _check_person(session: Session, person_id: UUID) -> None:
    status = session.scalar(select(Person.status).where(Person.id == person_id))
    if status is None:
        raise NoSuchPerson
    refuse_inactive(status)


def _check_place(session: Session, org_id: UUID | None, hub_id: UUID | None) -> None:
    if hub_id is not None:
        if not session.scalar(select(exists(select(hub_table.c.id).where(hub_table.c.id == hub_id)))):
            raise NoSuchGrantPlace
        return
    status = session.scalar(select(Org.status).where(Org.id == org_id))
    if status is None:
        raise NoSuchGrantPlace
    if status is not OrgStatus.ACTIVE:
        raise OrgNotActive
