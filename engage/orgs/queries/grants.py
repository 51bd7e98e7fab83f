"""Reads of who holds which role where, and of open invitations."""

from __future__ import annotations

from datetime import timedelta
from typing import TYPE_CHECKING, Any, Final

from sqlalchemy import case, exists, or_, select
from sqlalchemy.orm import aliased

from engage.core.paging import Page, Pager, beyond
from engage.identity.models import Person
from engage.orgs.access import Permission, grant_node, hub_table, live_grant, permitted
from engage.orgs.errors import NoSuchRoleGrant
from engage.orgs.models import Org, OrgPath, RoleGrant, RoleInvitation

if TYPE_CHECKING:
    from uuid import UUID

    from sqlalchemy import ColumnElement, Select

    from engage.core.db import Context

ROLES_AT_MOST: Final = 100
_Giver: Final = aliased(Person)


def _place(row: Any) -> dict[str, Any]:
    return {
        "org": {"id": row.org_id, "name": row.org_name} if row.org_id else None,
        "hub": {"id": row.hub_id, "name": row.hub_name} if row.hub_id else None,
    }


def my_roles(look: Context) -> list[dict[str, Any]]:
    """Return the caller's grants in force, with the name of the organisation or hub of each."""
    rows = look.db.execute(
        select(
            RoleGrant.role,
            RoleGrant.org_id,
            Org.name.label("org_name"),
            RoleGrant.hub_id,
            hub_table.c.name.label("hub_name"),
            RoleGrant.starts_at,
            RoleGrant.ends_at,
        )
        .outerjoin(Org, Org.id == RoleGrant.org_id)
        .outerjoin(hub_table, hub_table.c.id == RoleGrant.hub_id)
        .where(live_grant(look.actor.id, look.now))
        .order_by(RoleGrant.starts_at, RoleGrant.id)
        .limit(ROLES_AT_MOST)
    )
    return [
        {"role": row.role, **_place(row), "starts_at": row.starts_at, "ends_at": row.ends_at} for row in rows
    ]


def visible_grants(look: Context) -> ColumnElement[bool]:
    """Return the condition that the caller may see a grant: their own, or one where they give roles."""
    return or_(RoleGrant.person_id == look.actor.id, permitted(look, Permission.GRANT_ROLES, grant_node()))


def _may_read_name(look: Context) -> ColumnElement[bool]:
    """Return the condition that a grant tells its holder's name: it must not be had by giving a role to any id."""
    accepted = exists().where(RoleInvitation.grant_id == RoleGrant.id)
    return or_(accepted, RoleGrant.granted_by.is_(None), RoleGrant.person_id == look.actor.id)


def _grants(look: Context) -> Select[Any]:
    return (
        select(
            RoleGrant.id,
            RoleGrant.role,
            RoleGrant.person_id,
            case((_may_read_name(look), Person.name)).label("person_name"),
            RoleGrant.org_id,
            Org.name.label("org_name"),
            RoleGrant.hub_id,
            hub_table.c.name.label("hub_name"),
            RoleGrant.starts_at,
            RoleGrant.ends_at,
            RoleGrant.reason,
            RoleGrant.granted_by,
            _Giver.name.label("giver_name"),
            RoleGrant.ended_at,
            RoleGrant.end_reason,
        )
        .join(Person, Person.id == RoleGrant.person_id)
        .outerjoin(_Giver, _Giver.id == RoleGrant.granted_by)
        .outerjoin(Org, Org.id == RoleGrant.org_id)
        .outerjoin(hub_table, hub_table.c.id == RoleGrant.hub_id)
    )


def _grant(row: Any) -> dict[str, Any]:
    return {
        "id": row.id,
        "role": row.role,
        "person": {"id": row.person_id, "name": row.person_name},
        **_place(row),
        "starts_at": row.starts_at,
        "ends_at": row.ends_at,
        "reason": row.reason,
        "granted_by": {"id": row.granted_by, "name": row.giver_name} if row.granted_by else None,
        "ended_at": row.ended_at,
        "end_reason": row.end_reason,
    }


def list_grants(look: Context, query: dict[str, Any]) -> Page:
    """Return grants in force or to come where the caller gives roles: the oldest first, or those that end soon by their end."""
    pager = Pager(look.settings, "role-grants", query)
    soon = query["ends_within_days"]
    keys: list[Any] = [RoleGrant.id] if soon is None else [RoleGrant.ends_at, RoleGrant.id]
    statement = _grants(look).where(
        permitted(look, Permission.GRANT_ROLES, grant_node()),
        RoleGrant.ended_at.is_(None),
        or_(RoleGrant.ends_at.is_(None), RoleGrant.ends_at > look.now),
    )
    if soon is not None:
        statement = statement.where(RoleGrant.ends_at <= look.now + timedelta(days=soon))
    if query["role"] is not None:
        statement = statement.where(RoleGrant.role == query["role"])
    if query["org_id"] is not None:
        below = select(OrgPath.descendant_id).where(OrgPath.ancestor_id == query["org_id"])
        statement = statement.where(grant_node().in_(below))
    if query["hub_id"] is not None:
        statement = statement.where(RoleGrant.hub_id == query["hub_id"])
    after = pager.after()
    if after:
        statement = statement.where(beyond(keys, after))
    rows = look.db.execute(statement.order_by(*keys).limit(query["limit"] + 1)).all()
    page = pager.page(rows, lambda row: [row.id] if soon is None else [row.ends_at, row.id])
    return Page([_grant(row) for row in page.items], page.next_cursor)


def read_grant(look: Context, grant_id: UUID) -> dict[str, Any]:
    """Return a grant, also one that has ended.

    Raises:
        NoSuchRoleGrant: there is none that the caller may see.

    """
    row = look.db.execute(_grants(look).where(RoleGrant.id == grant_id, visible_grants(look))).one_or_none()
    if row is None:
        raise NoSuchRoleGrant
    return _grant(row)


def is_open(look: Context) -> ColumnElement[bool]:
    """Return the condition that an invitation can still be accepted."""
    return (
        RoleInvitation.accepted_at.is_(None)
        & RoleInvitation.withdrawn_at.is_(None)
        & (RoleInvitation.expires_at > look.now)
    )


def list_invitations(look: Context, query: dict[str, Any]) -> Page:
    """Return the open invitations where the caller gives roles, the oldest first."""
    pager = Pager(look.settings, "role-invitations", query)
    statement = _invitations().where(
        is_open(look), permitted(look, Permission.GRANT_ROLES, grant_node(RoleInvitation))
    )
    after = pager.after()
    if after:
        statement = statement.where(beyond([RoleInvitation.id], after))
    rows = look.db.execute(statement.order_by(RoleInvitation.id).limit(query["limit"] + 1)).all()
    page = pager.page(rows, lambda row: [row.id])
    return Page([_invitation(row) for row in page.items], page.next_cursor)


def read_invitation(look: Context, invitation_id: UUID) -> dict[str, Any]:
    """Return an invitation that the caller has made; they have been checked before."""
    return _invitation(look.db.execute(_invitations().where(RoleInvitation.id == invitation_id)).one())


def _invitations() -> Select[Any]:
    return (
        select(
            RoleInvitation.id,
            RoleInvitation.role,
            RoleInvitation.org_id,
            Org.name.label("org_name"),
            RoleInvitation.hub_id,
            hub_table.c.name.label("hub_name"),
            RoleInvitation.grant_ends_at,
            RoleInvitation.reason,
            RoleInvitation.invited_by,
            Person.name.label("inviter_name"),
            RoleInvitation.created_at,
            RoleInvitation.expires_at,
        )
        .join(Person, Person.id == RoleInvitation.invited_by)
        .outerjoin(Org, Org.id == RoleInvitation.org_id)
        .outerjoin(hub_table, hub_table.c.id == RoleInvitation.hub_id)
    )


def _invitation(row: Any) -> dict[str, Any]:
    return {
        "id": row.id,
        "role": row.role,
        **_place(row),
        "ends_at": row.grant_ends_at,
        "reason": row.reason,
        "invited_by": {"id": row.invited_by, "name": row.inviter_name},
        "created_at": row.created_at,
        "expires_at": row.expires_at,
    }
