"""Giving and ending roles."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

from sqlalchemy import exists, literal, select
from sqlalchemy.orm import aliased

from engage.core.errors import InvalidInput, Issue, NotAllowed
from engage.identity.access import refuse_inactive
from engage.identity.errors import NoSuchPerson
from engage.identity.models import Person
from engage.identity.service.notices import Notice, tell
from engage.orgs.access import (
    giving,
    grant_node,
    hub_table,
    in_force,
    is_active,
    may_give,
)
from engage.orgs.errors import (
    DutiesNotSeparate,
    GrantEnded,
    GrantEndsEarly,
    GrantStartsInPast,
    LastAdministrator,
    NoSuchGrantPlace,
    NoSuchRoleGrant,
    OrgNotActive,
    OwnGrant,
    RoleAlreadyHeld,
    RoleNotHere,
)
from engage.orgs.models import Org, OrgPath, OrgStatus, Role, RoleGrant
from engage.orgs.queries.grants import visible_grants

if TYPE_CHECKING:
    from datetime import datetime
    from uuid import UUID

    from sqlalchemy import ColumnElement
    from sqlalchemy.orm import Session

    from engage.core.db import Work

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
    starts_at: datetime | None = None,
    ends_at: datetime | None = None,
    granted_by: UUID | None = None,
) -> RoleGrant:
    """Give a person a role, from now on unless said otherwise, on one organisation and all below it or on one hub.

    Whether ``granted_by`` may give it is for the caller to have checked; None means the command line.

    Raises:
        RoleNotHere: a hub manager's role without a hub, another role without an organisation, or both.
        InvalidInput: the reason is empty or too long.
        GrantStartsInPast: it would begin before now.
        GrantEndsEarly: it would end before it begins.
        NoSuchPerson: there is no such person.
        AccountSuspended: the account may not be used.
        AccountClosed: the account is closed.
        NoSuchGrantPlace: there is no such organisation or hub.
        OrgNotActive: the organisation is merged or dissolved.
        RoleAlreadyHeld: the person holds this role here already, or will in that time.
        DutiesNotSeparate: auditors hold no other role.

    """
    starts_at = starts_at or now
    check_terms(now, role, reason=reason, org_id=org_id, hub_id=hub_id, starts_at=starts_at, ends_at=ends_at)
    _hold_person(session, person_id)
    node_of(session, org_id, hub_id)
    _refuse_overlap(session, person_id, role, org_id, hub_id, starts_at, ends_at)
    grant = RoleGrant(
        person_id=person_id,
        role=role,
        org_id=org_id,
        hub_id=hub_id,
        starts_at=starts_at,
        ends_at=ends_at,
        granted_by=granted_by,
        reason=reason,
        created_at=now,
    )
    session.add(grant)
    session.flush()
    return grant


def check_terms(
    now: datetime,
    role: Role,
    *,
    reason: str,
    org_id: UUID | None,
    hub_id: UUID | None,
    starts_at: datetime,
    ends_at: datetime | None,
) -> None:
    """Refuse a grant that could be given to nobody.

    Raises:
        RoleNotHere, InvalidInput, GrantStartsInPast, GrantEndsEarly: as ``grant_role``.

    """
    is_for_hub = role is Role.HUB_MANAGER
    if (hub_id is not None) != is_for_hub or (org_id is not None) == is_for_hub:
        raise RoleNotHere
    if not reason.strip():
        raise InvalidInput(Issue("/reason", "required"))
    if len(reason) > _MAX_REASON_CHARS:
        raise InvalidInput(Issue("/reason", "too_long", {"max": _MAX_REASON_CHARS}))
    if starts_at < now:
        raise GrantStartsInPast
    if ends_at is not None and ends_at <= starts_at:
        raise GrantEndsEarly


def _hold_person(session: Session, person_id: UUID) -> None:
    # Held, so that of two grants to one person the second sees the first.
    status = session.scalar(
        select(Person.status).where(Person.id == person_id).with_for_update(key_share=True)
    )
    if status is None:
        raise NoSuchPerson
    refuse_inactive(status)


def node_of(session: Session, org_id: UUID | None, hub_id: UUID | None) -> UUID:
    """Return the node of the tree that a grant on an organisation or hub belongs to.

    Raises:
        NoSuchGrantPlace: there is no such organisation or hub.
        OrgNotActive: the organisation is merged or dissolved.

    """
    if hub_id is not None:
        node: UUID | None = session.scalar(select(hub_table.c.org_id).where(hub_table.c.id == hub_id))
        if node is None:
            raise NoSuchGrantPlace
        return node
    row = session.execute(select(Org.id, Org.status).where(Org.id == org_id)).one_or_none()
    if row is None:
        raise NoSuchGrantPlace
    if row.status is not OrgStatus.ACTIVE:
        raise OrgNotActive
    return row.id  # type: ignore[no-any-return]


def _refuse_overlap(
    session: Session,
    person_id: UUID,
    role: Role,
    org_id: UUID | None,
    hub_id: UUID | None,
    starts_at: datetime,
    ends_at: datetime | None,
) -> None:
    others = select(RoleGrant.role, RoleGrant.org_id, RoleGrant.hub_id).where(
        RoleGrant.person_id == person_id,
        RoleGrant.ended_at.is_(None),
        RoleGrant.ends_at.is_(None) | (RoleGrant.ends_at > starts_at),
    )
    if ends_at is not None:
        others = others.where(RoleGrant.starts_at < ends_at)
    held = session.execute(others).all()
    if (role, org_id, hub_id) in [tuple(row) for row in held]:
        raise RoleAlreadyHeld
    if any((row.role is Role.AUDITOR) != (role is Role.AUDITOR) for row in held):
        raise DutiesNotSeparate


def give(work: Work, body: dict[str, Any]) -> UUID:
    """Give somebody else a role that the caller may give there; return the grant's id.

    Raises:
        OwnGrant: it is the caller themselves.
        NotAllowed: the caller may not give this role there.
        InvalidInput: not for so long.
        RoleNotHere, GrantStartsInPast, GrantEndsEarly, NoSuchPerson, AccountSuspended, AccountClosed, NoSuchGrantPlace, OrgNotActive,
        RoleAlreadyHeld, DutiesNotSeparate: as ``grant_role``.

    """
    if body["person_id"] == work.actor.id:
        raise OwnGrant
    require_giver(work, body["role"], body["org_id"], body["hub_id"], body["ends_at"])
    grant = grant_role(
        work.session,
        work.now,
        body["person_id"],
        body["role"],
        reason=body["reason"],
        org_id=body["org_id"],
        hub_id=body["hub_id"],
        starts_at=body["starts_at"],
        ends_at=body["ends_at"],
        granted_by=work.actor.id,
    )
    tell_of_role(work, grant)
    return grant.id


def tell_of_role(work: Work, grant: RoleGrant) -> None:
    """Tell a person that somebody else gave them a role."""
    _tell(work, Notice.ROLE_GIVEN, grant, starts_at=grant.starts_at.isoformat(), reason=grant.reason)


def _tell(work: Work, notice: Notice, grant: RoleGrant, **params: str) -> None:
    place: Any = Org.__table__.c if grant.hub_id is None else hub_table.c
    name = work.session.execute(
        select(place.name).where(place.id == (grant.hub_id or grant.org_id))
    ).scalar_one()
    tell(work, grant.person_id, notice, grant.id, role=grant.role.value, place=name, **params)


def require_giver(
    work: Work, role: Role, org_id: UUID | None, hub_id: UUID | None, ends_at: datetime | None
) -> None:
    """Refuse whoever may not give a role at a place, or not for so long: what rests on a grant does not outlast it.

    Raises:
        RoleNotHere: neither or both of organisation and hub.
        NoSuchGrantPlace: there is no such organisation or hub.
        OrgNotActive: the organisation is merged or dissolved.
        NotAllowed: the caller holds nothing there that gives this role.
        InvalidInput: what the caller holds there ends before.

    """
    if (org_id is None) == (hub_id is None):
        raise RoleNotHere
    node = node_of(work.session, org_id, hub_id)
    mine = giving(work, literal(role, RoleGrant.role.type)).where(OrgPath.descendant_id == node)
    ends = work.session.scalars(mine).all()
    if not ends:
        raise NotAllowed
    latest = None if None in ends else max(ends)
    if latest is not None and (ends_at is None or ends_at > latest):
        raise InvalidInput(Issue("/ends_at", "outlasts_giver", {"latest": latest.isoformat()}))


def end_grant(work: Work, grant_id: UUID, reason: str) -> UUID:
    """End a grant now: one that the caller may give, or their own. Nothing that was issued before outlives it.

    Raises:
        NoSuchRoleGrant: there is none that the caller may see.
        NotAllowed: the caller sees it but may not give this role there.
        GrantEnded: it has ended already.
        LastAdministrator: nobody else administers this node for as long.

    """
    _hold_administrators(work.session, RoleGrant.id == grant_id)
    row = work.session.execute(
        select(RoleGrant, may_give(work, RoleGrant.role, grant_node()))
        .where(RoleGrant.id == grant_id, visible_grants(work))
        .execution_options(populate_existing=True)
    ).one_or_none()
    if row is None:
        raise NoSuchRoleGrant
    grant, may = row
    if not may and grant.person_id != work.actor.id:
        raise NotAllowed
    if grant.ended_at is not None or (grant.ends_at is not None and grant.ends_at <= work.now):
        raise GrantEnded
    if grant.role is Role.PLATFORM_ADMIN:
        _refuse_last(work, RoleGrant.id == grant_id)
    grant.ended_at, grant.ended_by, grant.end_reason = work.now, work.actor.id, reason
    if grant.person_id != work.actor.id:
        _tell(work, Notice.ROLE_ENDED, grant, reason=reason)
    work.session.flush()
    return grant.id


def refuse_last_administrator(work: Work, person_id: UUID) -> None:
    """Refuse, and until the end of the transaction keep it so, where what somebody administers would be left without them.

    Raises:
        LastAdministrator: of a node of theirs nobody else is administrator for as long.

    """
    mine = RoleGrant.person_id == person_id
    _hold_administrators(work.session, mine)
    _refuse_last(work, mine)


def _hold_administrators(session: Session, also: ColumnElement[bool]) -> None:
    # In a statement of its own and all of them: of two administrators who remove each other, the second sees the first.
    session.execute(
        select(RoleGrant.id)
        .where(also | (RoleGrant.role == Role.PLATFORM_ADMIN))
        .order_by(RoleGrant.id)
        .with_for_update()
    ).all()


def _refuse_last(work: Work, taken: ColumnElement[bool]) -> None:
    # Who may not use their account administers nothing, so that taking it from them leaves a node with what it has.
    other = aliased(RoleGrant)
    stays = exists().where(
        OrgPath.descendant_id == RoleGrant.org_id,
        OrgPath.ancestor_id == other.org_id,
        other.role == Role.PLATFORM_ADMIN,
        other.person_id != RoleGrant.person_id,
        in_force(work.now, other),
        is_active(other.person_id),
        other.ends_at.is_(None) | (other.ends_at >= RoleGrant.ends_at),
    )
    last = select(RoleGrant.id).where(
        taken,
        RoleGrant.role == Role.PLATFORM_ADMIN,
        RoleGrant.ended_at.is_(None),
        RoleGrant.ends_at.is_(None) | (RoleGrant.ends_at > work.now),
        is_active(RoleGrant.person_id),
        ~stays,
    )
    if work.session.scalar(select(last.exists())):
        raise LastAdministrator
