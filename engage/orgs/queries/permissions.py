"""What somebody may do where, and why: the table of access.py, asked and explained."""

from __future__ import annotations

from dataclasses import dataclass, replace
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any, Final

from sqlalchemy import false, func, or_, select, true
from sqlalchemy.orm import aliased

from engage.identity.errors import NoSuchPerson
from engage.identity.models import Person, PersonStatus
from engage.orgs.access import (
    PERMISSIONS,
    PLACES,
    Permission,
    Reach,
    covered,
    hub_table,
    in_force,
    live_grant,
    opened_everywhere,
    permitted_everywhere,
    roles_with,
    within_scopes,
)
from engage.orgs.errors import NoSuchObject
from engage.orgs.models import Org, OrgPath, Role, RoleGrant

if TYPE_CHECKING:
    from uuid import UUID

    from engage.core.db import Context

PLACES_AT_MOST: Final = 100
_Each: Final = aliased(RoleGrant)
_Node: Final = aliased(Org)
_Hub: Final = hub_table.alias()  # the object may be a hub itself


def my_permissions(look: Context) -> list[dict[str, Any]]:
    """Return for each permission the nodes (with all below them) and hubs where the caller has it. One statement.

    Of each the first ``PLACES_AT_MOST``; permissions held nowhere are left out.
    """
    rows = look.db.execute(
        select(RoleGrant.role, RoleGrant.org_id, RoleGrant.hub_id, Org.parent_id)
        .outerjoin(Org, Org.id == RoleGrant.org_id)
        .where(live_grant(look.actor.id, look.now))
        .order_by(RoleGrant.id)
        .limit(PLACES_AT_MOST)
    ).all()
    items = [_held(permission, rows) for permission in Permission if within_scopes(look, permission)]
    return [item for item in items if item["org_ids"] or item["hub_ids"] or item["everywhere"]]


def _held(permission: Permission, rows: Any) -> dict[str, Any]:
    orgs: dict[UUID, None] = {}
    hubs: dict[UUID, None] = {}
    everywhere = False
    for holds in PERMISSIONS[permission]:
        for row in rows:
            if row.role not in holds.roles:
                continue
            if holds.reach in (Reach.TREE, Reach.ABOVE):
                orgs[row.org_id] = None
            elif holds.reach in (Reach.HUB, Reach.HUB_IN_TIME):
                hubs[row.hub_id] = None
            elif holds.reach is Reach.WHOLE or row.parent_id is None:
                everywhere = True
    return {"permission": permission, "org_ids": [*orgs], "hub_ids": [*hubs], "everywhere": everywhere}


def permissions_on(look: Context, kind: str, object_id: UUID) -> list[dict[str, Any]]:
    """Return the permissions that the caller has on one object, by the conditions that every use of it asks. One statement.

    Raises:
        NoSuchObject: there is none that the caller may see.

    """
    place = PLACES[kind]
    statement = select(*(place.allows(look, permission) for permission in place.permissions))
    statement = statement.select_from(place.id.class_).where(place.id == object_id)
    if place.visible is not None:
        statement = statement.where(place.visible(look))
    row = look.db.execute(statement).one_or_none()
    if row is None:
        raise NoSuchObject
    return [
        {"permission": permission, "org_ids": [], "hub_ids": [], "everywhere": False}
        for permission, allowed in zip(place.permissions, row, strict=True)
        if allowed
    ]


@dataclass(frozen=True, slots=True)
class Explained:
    """A decision, and what each grant of the person does for it. ``grants`` are rows, ``path`` names from the root to the object's node."""

    allowed: bool
    visible: bool  # what is not, is to them as if it did not exist
    status: PersonStatus
    path: list[str]
    grants: list[Any]


def explain(
    look: Context, person_id: UUID, permission: Permission, kind: str | None, object_id: UUID | None
) -> Explained:
    """Return whether somebody has a permission on an object, or without one on the whole installation, and why.

    The answer is that of the conditions which every use of the permission asks, also that they may see the object. Of each grant,
    ``opens`` is the condition of the permission asked of the grant alone, whether in force or not; ``out_of_time`` says that it would be
    true at another time.

    Raises:
        NoSuchPerson, NoSuchObject: there is no such person or object.

    """
    status = look.db.scalar(select(Person.status).where(Person.id == person_id))
    if status is None:
        raise NoSuchPerson
    asked: Any = SimpleNamespace(
        db=look.db, now=look.now, settings=look.settings, actor=SimpleNamespace(id=person_id)
    )
    this_grant = RoleGrant.id == _Each.id
    rules, roles = PERMISSIONS[permission], roles_with(permission)
    if kind is None:
        allowed = bool(look.db.scalar(select(permitted_everywhere(asked, permission))))
        opens = opened_everywhere(permission, this_grant)
        rows = look.db.execute(_of_person(person_id, look, roles, opens, false()))
        return Explained(allowed, visible=True, status=status, path=[], grants=[*rows])
    place = PLACES[kind]
    sees = true() if place.visible is None else place.visible(asked)
    found = look.db.execute(
        select(place.allows(asked, permission), sees, place.org_id).where(place.id == object_id)
    ).one_or_none()
    if found is None:
        raise NoSuchObject
    allows, visible, org_id = found
    row = (place.org_id, place.hub_id, place.period)
    opens = or_(false(), *(covered(asked, holds, this_grant, *row) for holds in rules))
    late = or_(
        false(),
        *(
            covered(asked, replace(holds, reach=Reach.HUB), this_grant, *row)
            for holds in rules
            if holds.reach is Reach.HUB_IN_TIME
        ),
    )
    rows = look.db.execute(
        _of_person(person_id, look, roles, opens, late).join(place.id.class_, place.id == object_id)
    )
    return Explained(bool(allows and visible), bool(visible), status, _path(look, org_id), [*rows])


def _of_person(person_id: UUID, look: Context, roles: frozenset[Role], opens: Any, late: Any) -> Any:
    return (
        select(
            _Each.id,
            _Each.role,
            _Each.starts_at,
            _Each.ends_at,
            _Each.ended_at,
            func.coalesce(_Node.name, _Hub.c.name).label("place"),
            in_force(look.now, _Each).label("in_force"),
            _Each.role.in_(roles).label("has_role"),
            opens.label("opens"),
            late.label("out_of_time"),
        )
        .select_from(_Each)
        .outerjoin(_Node, _Node.id == _Each.org_id)
        .outerjoin(_Hub, _Hub.c.id == _Each.hub_id)
        .where(_Each.person_id == person_id)
        .order_by(_Each.id)
        .limit(PLACES_AT_MOST)
    )


def _path(look: Context, org_id: UUID) -> list[str]:
    return [
        *look.db.scalars(
            select(Org.name)
            .join(OrgPath, OrgPath.ancestor_id == Org.id)
            .where(OrgPath.descendant_id == org_id)
            .order_by(OrgPath.depth.desc())
        )
    ]
