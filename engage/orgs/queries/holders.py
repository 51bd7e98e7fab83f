"""Who holds a permission somewhere: the nearest who do, somebody named, the caller on the very place."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from sqlalchemy import and_, exists, false, literal, or_, select

from engage.orgs.access import (
    PERMISSIONS,
    Permission,
    Reach,
    covered,
    held_with,
    in_force,
    is_active,
    live_grant,
)
from engage.orgs.models import OrgPath, Role, RoleGrant

if TYPE_CHECKING:
    from uuid import UUID

    from sqlalchemy import ColumnElement

    from engage.core.db import Context, Work


def nearest_holders(
    work: Work, permission: Permission, org_id: UUID, hub_id: UUID | None = None
) -> list[UUID]:
    """Return the others who have a permission on a node, of the nearest level that has any: those of a hub there, the node's own, those above."""

    def held(reach: Reach) -> ColumnElement[bool]:
        roles = (holds.roles for holds in PERMISSIONS[permission] if holds.reach is reach)
        return and_(
            RoleGrant.role.in_(frozenset[Role]().union(*roles)),
            RoleGrant.person_id != work.actor.id,
            in_force(work.now),
            is_active(RoleGrant.person_id),
        )

    of_tree = (
        select(OrgPath.depth.label("levels"), RoleGrant.person_id)
        .join(RoleGrant, RoleGrant.org_id == OrgPath.ancestor_id)
        .where(OrgPath.descendant_id == org_id, held(Reach.TREE))
    )
    of_hub = select(literal(-1), RoleGrant.person_id).where(RoleGrant.hub_id == hub_id, held(Reach.HUB))
    rows = work.session.execute((of_tree.union_all(of_hub) if hub_id else of_tree).order_by("levels")).all()
    return sorted({person_id for levels, person_id in rows if levels == rows[0].levels})


def permits_somebody(
    look: Context, permission: Permission, person_id: UUID, org_id: Any, hub_id: Any = None
) -> ColumnElement[bool]:
    """Return the condition that somebody has a permission on a row: what is sent to them is for whoever still does."""
    theirs = live_grant(person_id, look.now)
    return or_(false(), *(covered(look, holds, theirs, org_id, hub_id) for holds in PERMISSIONS[permission]))


def holds_here(look: Context, permission: Permission, org_id: Any, hub_id: Any) -> ColumnElement[bool]:
    """Return the condition that a role of the caller's which gives a permission is on this very node or hub, not above it."""
    return exists().where(
        held_with(look, permission), or_(RoleGrant.org_id == org_id, RoleGrant.hub_id == hub_id)
    )
